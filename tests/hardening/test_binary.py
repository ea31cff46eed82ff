"""What the release flags promise is in the binary."""

import os
import platform
import re
import subprocess

import pytest


def tool(*args):
    command = args + (os.environ["GATEHOUSE_BIN"],)
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


@pytest.fixture(scope="module")
def segments():
    return tool("readelf", "-lW")


@pytest.fixture(scope="module")
def dynamic():
    return tool("readelf", "-dW")


@pytest.fixture(scope="module")
def symbols():
    return set(re.findall(r"UND (\w+)", tool("readelf", "--dyn-syms", "-W")))


def test_position_independent(segments, dynamic):
    assert "Elf file type is DYN" in segments
    assert re.search(r"FLAGS_1\).*\bPIE\b", dynamic)


def test_relocations_are_read_only(segments, dynamic):
    assert "GNU_RELRO" in segments
    assert re.search(r"\(FLAGS\).*\bBIND_NOW\b", dynamic)


def test_no_memory_is_writable_and_executable(segments):
    assert re.search(r"GNU_STACK\s.*\sRW\s", segments)
    for flags in re.findall(r"^\s+LOAD\s.*\s([R ][W ][E ])\s+0x", segments, re.M):
        assert not ("W" in flags and "E" in flags), flags


def test_no_search_path(dynamic):
    assert not re.search(r"\((RPATH|RUNPATH)\)", dynamic)


def test_stack_protector(symbols):
    assert "__stack_chk_fail" in symbols


def test_fortified(symbols):
    assert {"__snprintf_chk", "__vsnprintf_chk"} <= symbols


def test_stack_clash_protection():
    """Large frames are probed page by page: gcc writes that as an or of nothing to the page's first word."""
    assert re.search(r"\b(or|sub)q?\s+\$0x(0|1000),", tool("objdump", "-d", "--no-show-raw-insn"))


def test_branches_and_returns_are_checked():
    """What may be called through a pointer begins with a landing pad, and a shadow stack is asked for."""
    code = tool("objdump", "-d", "--no-show-raw-insn")
    first = re.search(r"<main>:\n\s*\w+:\s+(\w+)", code).group(1)
    if platform.machine() == "x86_64":
        assert first == "endbr64"
        assert re.search(r"x86 feature:.*\bSHSTK\b", tool("readelf", "-nW"))
    else:
        assert first in ("bti", "paciasp")
