//go:build race

package state_test

// raceEnabled says that tests run under the race detector.
const raceEnabled = true
