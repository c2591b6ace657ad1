package main

// size is how much is tried.
type size uint8

const (
	ci size = iota
	short
	full
)

// String returns the size's name.
func (s size) String() string { return [...]string{"ci", "short", "full"}[s] }

// of returns the value for the size.
func of[T any](s size, atShort, atCI, atFull T) T {
	switch s {
	case short:
		return atShort
	case full:
		return atFull
	}
	return atCI
}

// measure takes the figures of one id. What keeps it from going on, and the failures
// that it counts, are described by the error; the figures it has are printed all the
// same.
type measure struct {
	id   string
	take func(config) ([]figure, error)
}

// table is what is measured, in the order in which it is printed.
var table = []measure{
	{"R1", powerCuts},
	{"R2", cutsInRecovery},
	{"R3", wholeTables},
	{"R4", lostRecords},
	{"R7", failedSyncs},
	{"R8", failedCalls},
	{"R9", failedReads},
	{"R10", fullDevice},
	{"R13", damagedBytes},
	{"R14", damagedFiles},
	{"R15", misdirectedBlocks},
	{"R16", verifiedStores},
	{"R17", salvagedStores},
	{"R18", metamorphicRuns},
	{"R20", heldSnapshots},
	{"R21", linearHistories},
	{"R24", fuzzTargets},
	{"R27", plantedBugs},
	{"R29", foreignSuites},
	{"R34", forgedFiles},
	{"R35", usedNonces},
	{"R36", shownCanaries},
	{"R37", keyTestsOf("R37", "key-tests")},
	{"R38", accessMatrix},
	{"R40", soakedStore},
}
