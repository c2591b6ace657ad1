//go:build race

package memtable_test

// raceEnabled says that tests run under the race detector, some ten times slower.
const raceEnabled = true
