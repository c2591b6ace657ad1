package main

import (
	"errors"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/loamdb/loam/fuzz"
	"github.com/loamdb/loam/internal/seal/sealtest"
	"github.com/loamdb/loam/internal/vfs"
)

// Encryption. The stores of package fuzz are encrypted where their seed is a multiple of three,
// and change their data keys under way.

// encrypted is the setup of the n-th encrypted history.
func encrypted(c config, n uint64) fuzz.Setup {
	return fuzz.Setup{Seed: 3 * (c.seed*1000 + n), Mode: modes[n%2]}
}

// forgedFiles changes, cuts and exchanges the files of encrypted stores, one closed and one
// killed: nothing that was changed is accepted.
func forgedFiles(c config) ([]figure, error) {
	x := &explored{}
	for i, clean := range []bool{true, false} {
		d, err := fuzz.NewDamaged(encrypted(c, uint64(i)), fuzz.Shape{
			Batches: 40, SyncOneIn: 3, FlushEvery: 15, CompactEvery: 30,
		}, clean)
		if err != nil {
			x.errs = append(x.errs, err)
			continue
		}
		x.Explored.Add(d.EveryByte(of(c.size, 200, 31, 1)))
		x.Explored.Add(d.EveryCut(of(c.size, 1997, 211, 7)))
	}
	return []figure{
		{"forged-files", float64(x.States), "changes", atLeast(of(c.size, 300.0, 2_500, 80_000))},
		{"forgeries-detected", float64(x.Points), "changes", target{}},
		{"forgeries-accepted", x.failures(), "changes", exactly(0)},
	}, x.err()
}

// usedNonces notes all that encrypted histories seal, and all that is sealed where they are
// opened again after power cuts.
func usedNonces(c config) ([]figure, error) {
	x := &explored{}
	var n sealtest.Nonces
	for i := range uint64(of(c.size, 1, 2, 20)) {
		setup := encrypted(c, 10+i)
		setup.Nonces = &n
		r, err := fuzz.Record(setup, fuzz.Ordinary(of(c.size, 60, 200, 1200)))
		if err != nil {
			x.errs = append(x.errs, err)
			continue
		}
		x.Explored.Add(r.KillEverywhere(fuzz.Cuts{}))
		x.Explored.Add(r.CutEverywhere(fuzz.Cuts{StateOptions: vfs.StateOptions{Pending: 4, Cuts: 2}, Limit: of(c.size, 500, 1_500, 0)}))
	}
	sealed, twice := n.Count()
	return []figure{
		{"nonces-used", float64(sealed), "nonces", atLeast(of(c.size, 2_000.0, 10_000, 1_000_000))},
		{"nonces-used-twice", float64(twice), "nonces", exactly(0)},
		{"encrypted-crash-states", float64(x.States), "states", atLeast(of(c.size, 400.0, 2_000, 50_000))},
		{"encrypted-crash-violations", x.failures(), "states", exactly(0)},
	}, x.err()
}

// shownCanaries looks for keys, values and names of scopes in all that encrypted stores write, log
// and answer, and in what stores in clear log and answer, while each call in turn fails.
func shownCanaries(c config) ([]figure, error) {
	x := &explored{}
	var places int
	canaries := of(c.size, 200, 1000, 1000)
	sweep := func(setup fuzz.Setup, canaries, every int) {
		f := fuzz.AnyCall
		f.Every = every
		y, searched, err := fuzz.SweepCanaries(setup, canaries, f)
		if err != nil {
			x.errs = append(x.errs, err)
		}
		x.Explored.Add(y)
		places += searched
	}
	for m := range uint64(len(modes)) {
		sweep(encrypted(c, 20+m), canaries, of(c.size, 97, 97, 5))
		clear := encrypted(c, 20+m)
		clear.Seed++
		sweep(clear, 200, of(c.size, 97, 31, 1))
	}
	tests, err := keyTestsOf("R36", "canary-tests")(c)
	return append([]figure{
		{"canaries", float64(canaries), "canaries", atLeast(of(c.size, 200.0, 1_000, 1_000))},
		{"canary-faults", float64(x.Points), "faults", atLeast(of(c.size, 30.0, 120, 2_000))},
		{"canary-places-searched", float64(places), "places", atLeast(of(c.size, 10_000.0, 50_000, 1_000_000))},
		{"canaries-seen", x.failures(), "runs", exactly(0)},
	}, tests...), errors.Join(x.err(), err)
}

// keyTests are what R36, R37 and R40 count: tests of packages lsm and crypto by what they show.
var keyTests = map[string][]string{
	"R36": { // nothing of keys, values and secrets in files, errors and what is printed
		"TestAnEncryptedStoreShowsNothing", "TestTablesAreIngestedEncrypted", "TestADamagedEncryptedStoreIsSalvaged",
		"TestSecretsDoNotShow", "TestErrorsShowNoSecret", "TestFilesShowNothing", "TestAStoreInClearIsEncrypted",
	},
	"R37": { // wrong keys, damaged keyrings, and changes of keys that are cut off
		"TestOptionsThatDoNotFitTheStore", "TestPowerCutWhileKeysChange", "TestAKeyringThatWasPutBackStaysRefused",
		"TestWhatWasPutBackIsOlderThanTheAnchor", "TestAWrongKeyIsTold", "TestDamageAtEveryBitIsTold",
		"TestPowerCutAtEveryOperation", "TestFaultAtEveryOperation",
		"TestAPowerCutWhileKeysAreRotated", "TestAFaultWhileKeysAreRotated", "TestDataKeysLeaveTheStore", "TestAKeyThatIsHeldIsNotRetired",
		"TestAPowerCutWhileAStoreIsConverted", "TestAFaultWhileAStoreIsConverted", "TestAForgedTableInClearIsRefused",
	},
	"R40": { // modes under any umask, directories of others, links, second openings
		"TestFilesOfAStoreAreItsOwners", "TestPlantedLinksAreNotFollowed", "TestASecondOpenIsRefusedAndNamesTheHolder", "TestASecondProcessIsRefused",
	},
}

// keyTestsPrinted is what all of them print: they run once, for their packages take long to build.
var keyTestsPrinted struct {
	once sync.Once
	out  string
	err  error
}

// keyTestsOf counts the tests of an id that have passed.
func keyTestsOf(id, name string) func(config) ([]figure, error) {
	return func(c config) ([]figure, error) {
		p := &keyTestsPrinted
		p.once.Do(func() {
			all := slices.Concat(slices.Collect(maps.Values(keyTests))...)
			p.out, p.err = c.ordinary([]string{"./lsm", "./crypto"}, "-run=^("+strings.Join(all, "|")+")$")
		})
		passed := 0
		for _, test := range keyTests[id] {
			if strings.Contains(p.out, "\n--- PASS: "+test+" ") {
				passed++
			}
		}
		return []figure{{name, float64(passed), "tests", exactly(float64(len(keyTests[id])))}}, p.err
	}
}
