package report

import "slices"

// colourOf is the colour that an engine has in every report, as an index into the
// palette of style.css. Neighbours differ in lightness too, so that they are told apart
// by readers who do not see every hue.
var colourOf = map[string]int{
	"loam": 0, "pebble": 1, "badger": 2, "bbolt": 3, "goleveldb": 4, "sqlite": 5, "rocksdb": 6, "lmdb": 7,
}

// colours is how many the palette has: those above and two for engines not known here.
const colours = 10

// assignColours gives each engine its colour. Engines not known here get, in order, what
// the others leave.
func assignColours(engines []string) map[string]int {
	assigned := map[string]int{}
	taken := [colours]bool{}
	for _, name := range engines {
		if c, known := colourOf[name]; known {
			assigned[name], taken[c] = c, true
		}
	}
	next := colours - 1
	for _, name := range slices.Sorted(slices.Values(engines)) {
		if _, known := assigned[name]; known {
			continue
		}
		for tries := 0; taken[next] && tries < colours; tries++ {
			next = (next + colours - 1) % colours
		}
		assigned[name], taken[next] = next, true
	}
	return assigned
}
