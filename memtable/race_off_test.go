//go:build !race

package memtable_test

const raceEnabled = false
