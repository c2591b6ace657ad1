//go:build !linux

package main

// settleDevice does nothing where there is no call for it.
func settleDevice() {}
