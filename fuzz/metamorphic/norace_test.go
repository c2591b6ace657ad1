//go:build !race

package metamorphic_test

// slow makes tests smaller: under the race detector everything takes ten times as long.
const slow = false
