/*
 * sandbox.h - what a process that handles others' bytes may still ask of the kernel: landlock takes the file
 * system away, seccomp all system calls but those of a table.
 *
 * Knows system calls, not what the process does with them. Called by a child at its start, when everything
 * that lies in files has been read, and by the parent, who says what this kernel lacks.
 */
#pragma once

#include "core/msg.h"

/* Which of the two this kernel does not have, for the log; NULL: none. */
const char *sandbox_missing(void);

/*
 * For good. What the kernel does not have is left out. Returns what failed all the same, or NULL; errno says
 * why. A system call that no row allows ends the process by SIGSYS.
 */
const char *sandbox_enter(enum msg_role role) MUST_USE;
/* The first half of it, for who has no_new_privs: no file can be opened any more, but those of the role. */
const char *sandbox_leave_files(enum msg_role role) MUST_USE;
