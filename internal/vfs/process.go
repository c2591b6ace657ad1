package vfs

import (
	"fmt"
	"os"
	"path/filepath"
)

// ProcessName names this process for the holder of a lock: program, process id, host.
func ProcessName() string {
	name := fmt.Sprintf("%s, process %d", filepath.Base(os.Args[0]), os.Getpid())
	if host, err := os.Hostname(); err == nil {
		name += " on " + host
	}
	return name
}
