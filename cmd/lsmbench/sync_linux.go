package main

import "golang.org/x/sys/unix"

// settleDevice waits until the system has written what earlier runs left dirty.
func settleDevice() { unix.Sync() }
