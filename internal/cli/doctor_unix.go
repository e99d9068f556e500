//go:build linux || darwin

package cli

import (
	"fmt"
	"io/fs"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

func openFiles() finding {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return finding{"open files", weak, err.Error(), ""}
	}
	f := finding{"open files", fine, fmt.Sprintf("up to %d", limit.Max), ""}
	if limit.Max < fewFiles {
		f.State, f.Do = weak, fmt.Sprintf("Each connection takes one. Let the hub open %d or more (LimitNOFILE= in its unit, ulimit -Hn).", fewFiles)
	}
	return f
}

func (c *doctorCmd) disk() finding {
	dir := nearest(c.Data)
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return finding{"disk", bad, err.Error(), "Name a folder that the hub may use with --data."}
	}
	free := st.Bavail * uint64(st.Bsize)
	f := finding{"disk", fine, fmt.Sprintf("%.1f GiB free for %s", float64(free)/(1<<30), c.Data), ""}
	switch {
	case unix.Access(dir, unix.W_OK) != nil:
		f.State, f.Found, f.Do = bad, dir+" can't be written to", "Name a folder that the hub may use with --data."
	case free < littleDisk:
		f.State, f.Do = weak, "Durable work is refused below --min-free (256 MiB)."
	}
	return f
}

// mayWrite says whether this user may write a file.
func mayWrite(info fs.FileInfo) bool {
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return info.Mode()&0o200 != 0
	}
	return os.Geteuid() == 0 || int(st.Uid) == os.Geteuid() && info.Mode()&0o200 != 0
}
