package main

import (
	"errors"
	"regexp"
	"strings"

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
		x.Explored.Add(d.EveryByte(of(c.size, 200, 17, 1)))
		x.Explored.Add(d.EveryCut(of(c.size, 1997, 211, 7)))
	}
	return []figure{
		{"forged-files", float64(x.States), "changes", atLeast(of(c.size, 300.0, 4_000, 80_000))},
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
		x.Explored.Add(r.CutEverywhere(fuzz.Cuts{StateOptions: vfs.StateOptions{Pending: 4, Cuts: 2}, Limit: of(c.size, 500, 3_000, 0)}))
	}
	sealed, twice := n.Count()
	return []figure{
		{"nonces-used", float64(sealed), "nonces", atLeast(of(c.size, 2_000.0, 20_000, 1_000_000))},
		{"nonces-used-twice", float64(twice), "nonces", exactly(0)},
		{"encrypted-crash-states", float64(x.States), "states", atLeast(of(c.size, 400.0, 4_000, 50_000))},
		{"encrypted-crash-violations", x.failures(), "states", exactly(0)},
	}, x.err()
}

// passedTest is the line of a test that has passed, not of a part of one.
var passedTest = regexp.MustCompile(`(?m)^--- PASS: Test`)

// namedTests runs tests and returns how many have passed.
func namedTests(pkg string, names ...string) (float64, error) {
	out, err := testOutput("-run=^("+strings.Join(names, "|")+")$", pkg)
	return float64(len(passedTest.FindAllString(out, -1))), err
}

// shownCanaries looks for keys, values and secrets in files, errors and what is printed.
func shownCanaries(config) ([]figure, error) {
	files, err := namedTests("./lsm", "TestAnEncryptedStoreShowsNothing", "TestTablesAreIngestedEncrypted", "TestADamagedEncryptedStoreIsSalvaged")
	secrets, err2 := namedTests("./crypto", "TestSecretsDoNotShow", "TestErrorsShowNoSecret", "TestFilesShowNothing")
	return []figure{{"canary-tests", files + secrets, "tests", exactly(6)}}, errors.Join(err, err2)
}

// changedKeys opens stores with wrong keys and damaged keyrings, and cuts changes of keys off
// everywhere.
func changedKeys(config) ([]figure, error) {
	stores, err := namedTests("./lsm", "TestOptionsThatDoNotFitTheStore", "TestPowerCutWhileKeysChange",
		"TestAKeyringThatWasPutBackStaysRefused", "TestWhatWasPutBackIsOlderThanTheAnchor",
		"TestAPowerCutWhileKeysAreRotated", "TestAFaultWhileKeysAreRotated", "TestDataKeysLeaveTheStore", "TestAKeyThatIsHeldIsNotRetired")
	rings, err2 := namedTests("./crypto", "TestAWrongKeyIsTold", "TestDamageAtEveryBitIsTold", "TestPowerCutAtEveryOperation",
		"TestFaultAtEveryOperation")
	return []figure{{"key-tests", stores + rings, "tests", exactly(12)}}, errors.Join(err, err2)
}

// ownFiles looks at modes, owners and links of a store's files.
func ownFiles(config) ([]figure, error) {
	n, err := namedTests("./lsm", "TestFilesOfAStoreAreItsOwners")
	return []figure{{"file-tests", n, "tests", exactly(1)}}, err
}
