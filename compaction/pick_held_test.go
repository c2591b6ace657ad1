package compaction_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/loamdb/loam/compaction"
	"github.com/loamdb/loam/internal/fileid"
	"github.com/loamdb/loam/internal/keys"
	"github.com/loamdb/loam/internal/manifest"
)

// versionOf puts one table into the last level, and one that overlaps it above, if any.
func versionOf(t *testing.T, last, above *manifest.Table) *manifest.Version {
	e := &manifest.Edit{}
	for i, tab := range []*manifest.Table{last, above} {
		if tab == nil {
			continue
		}
		tab.Num, tab.UID, tab.Bytes, tab.Entries = fileid.Num(i+1), fileid.UID{byte(i + 1)}, 16, 8
		tab.Smallest, tab.Largest = []byte("a"), []byte("m")
		e.Added = append(e.Added, manifest.AddedTable{Level: manifest.LastLevel - manifest.Level(i), Run: 1, Table: tab})
	}
	v, err := (&manifest.Version{}).Apply(e)
	require.NoError(t, err)
	return v
}

// Where a horizon keeps tombstones, what only snapshots had kept goes all the same, and
// tombstones are taken to what they delete, once; the tombstones themselves stay.
func TestHorizonsKeepTombstonesAndNothingElse(t *testing.T) {
	const horizon, now = keys.SeqNum(10), keys.SeqNum(100)
	params := compaction.Params{TableBytes: 16, BaseBytes: 20, Fanout: 2, ElideBelow: horizon, HeldBelow: now, Idle: true}
	pick := func(v *manifest.Version) *compaction.Job {
		j, _ := compaction.Pick(v, params)
		return j
	}
	held := func() *manifest.Table { return &manifest.Table{MinSeqNum: 1, MaxSeqNum: 50, Held: 2} }
	tombstones := func(from, to keys.SeqNum) *manifest.Table {
		return &manifest.Table{MinSeqNum: from, MaxSeqNum: to, Deletes: 8}
	}
	require.NotNil(t, pick(versionOf(t, held(), nil)))
	require.Nil(t, pick(versionOf(t, tombstones(40, 50), nil)), "it would be rewritten for ever")
	require.NotNil(t, pick(versionOf(t, tombstones(4, 10), nil)))
	j := pick(versionOf(t, &manifest.Table{MinSeqNum: 1, MaxSeqNum: 9}, tombstones(40, 50)))
	require.NotNil(t, j)
	require.Equal(t, compaction.ReasonGarbage, j.Reason)
	require.Equal(t, manifest.LastLevel, j.Output)
	params.HeldBelow = 45 // a snapshot needs what they delete
	require.Nil(t, pick(versionOf(t, &manifest.Table{MinSeqNum: 1, MaxSeqNum: 9}, tombstones(40, 50))))
	params.HeldBelow = 0
	require.Nil(t, pick(versionOf(t, held(), nil)), "the default is the bound of tombstones")
}
