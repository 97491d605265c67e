package main

import (
	"os"

	"golang.org/x/sys/unix"
)

// topDir is FS_TOPDIR_FL of linux/fs.h.
const topDir = 0x00020000

// spread asks the file system to keep what is in the folders of dir apart, as
// chattr +T does: the archive only grows, while the bus makes and removes files all
// the time, and ext4 looks for room in the neighbourhood of a folder. Without its
// journal it also passes by every file removed there in the last minutes, for each
// one made. It is advice: where it cannot be given, nothing is lost.
func spread(dir string) {
	f, err := os.Open(dir)
	if err != nil {
		return
	}
	defer f.Close()
	flags, err := unix.IoctlGetInt(int(f.Fd()), unix.FS_IOC_GETFLAGS)
	if err == nil && flags&topDir == 0 {
		_ = unix.IoctlSetPointerInt(int(f.Fd()), unix.FS_IOC_SETFLAGS, flags|topDir)
	}
}
