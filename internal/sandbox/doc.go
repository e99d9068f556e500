// Package sandbox puts walls around a process that runs code of others: bridges, and installs of
// packages. The walls are Linux namespaces, built by bubblewrap (the distribution's package), and a
// filter of system calls; docs/isolation.md says what they hold back and what they don't.
//
//	hub ──▶ bwrap ──▶ bwrap (process 1 of its own pid namespace) ──▶ the program
//	          │
//	          └ new user, mount, pid, ipc, uts, cgroup (and network) namespaces, no capability,
//	            no new privileges, a session of its own, dies with the hub
//
// A program sees a read-only system (/usr, a little of /etc), an empty /tmp of its own in memory, a
// /proc of its own processes, and of everything else what its Spec names. Nothing is inherited: neither
// environment nor descriptors beyond those that the caller gives.
//
//	walls, err := sandbox.Find()                   // once, at start; err says what to do
//	cmd, err := walls.Command(ctx, sandbox.Spec{…}) // like exec.CommandContext
//	err = cmd.Run()
//
// A nil *Walls is "no walls": Command then gives a plain command, so that a caller needs no second way.
// Paths in a Spec are the hub's; where a Bind shows a folder under another name, only the caller knows
// which of the two its arguments need.
//
// A Room starts programs that are shown a folder later, while they run: what is kept warm for tenants that
// are not known yet.
//
// spec.go is what a caller asks for, cmd.go a started command, bwrap_linux.go the arguments that make
// it so, system_linux.go what of the machine is visible, filter_linux.go the system calls,
// room_linux.go the room and its keeper.
package sandbox
