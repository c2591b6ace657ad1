package fuzz_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/loamdb/loam/fuzz"
)

// A sweep over failing syncs that drop their data held a snapshot right after such a store was
// opened again, and asked the ledger for a batch that was acknowledged, lost and withdrawn.
func TestALedgerForgetsWhatWasAcknowledgedAndLost(t *testing.T) {
	l := fuzz.NewLedger()
	first, _ := l.Issue([]fuzz.Op{{Key: "a", Value: "1"}})
	l.Acknowledge(first, 1, true)
	second, _ := l.Issue([]fuzz.Op{{Key: "b", Value: "2"}})
	l.Acknowledge(second, 2, false)
	require.Equal(t, second, l.Acknowledged())

	l.Settle(first)
	require.Equal(t, first, l.Acknowledged())
	require.Equal(t, first, l.Issued())
	again, _ := l.Issue([]fuzz.Op{{Key: "c", Value: "3"}})
	require.Equal(t, second, again)
	require.Equal(t, first, l.Acknowledged())
}
