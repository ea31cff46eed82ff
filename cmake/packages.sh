# Sourced by quickstart and check: install_missing PACKAGE... installs the Debian packages that are not there.

install_missing() {
	local there package missing=() root=()

	if ! command -v dpkg-query >/dev/null; then
		echo "no Debian system: these packages, or what they are called here, are needed: $*" >&2
		return 0
	fi
	there=$(dpkg-query -W -f '${Package} ${Status}\n' "$@" 2>/dev/null) || :
	for package; do
		grep -qxF "$package install ok installed" <<<"$there" || missing+=("$package")
	done
	[ ${#missing[@]} -gt 0 ] || return 0
	echo "installing ${missing[*]}"
	if [ "$(id -u)" -ne 0 ]; then
		if ! command -v sudo >/dev/null; then
			echo "as root: apt-get install -y --no-install-recommends ${missing[*]}" >&2
			return 1
		fi
		root=(sudo)
	fi
	${root[@]+"${root[@]}"} bash -s -- "${missing[@]}" <<-'END'
		set -eu
		# what brings a service (sshd, varnish) is only needed as a program: nothing is started
		policy=/usr/sbin/policy-rc.d
		if [ ! -e "$policy" ]; then
			trap 'rm -f "$policy"' EXIT
			printf '#!/bin/sh\nexit 101\n' >"$policy"
			chmod 755 "$policy"
		fi
		export DEBIAN_FRONTEND=noninteractive
		apt-get update -qq </dev/null
		apt-get install -y -qq --no-install-recommends "$@" </dev/null >/dev/null
	END
}
