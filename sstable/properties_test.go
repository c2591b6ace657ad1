package sstable_test

import (
	"encoding/binary"
	"encoding/hex"
	"math"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/loamdb/loam/internal/codec"
	"github.com/loamdb/loam/internal/fileid"
	"github.com/loamdb/loam/internal/golden"
	"github.com/loamdb/loam/internal/keys"
	"github.com/loamdb/loam/sstable"
)

var sampleUID = fileid.UID{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16}

// fullProperties sets every property that version 1 defines.
func fullProperties() *sstable.Properties {
	p := &sstable.Properties{
		Entries: 1000, KeyBytes: 16_000, ValueBytes: 100_000,
		Smallest: []byte("a"), Largest: []byte("zebra"), LargestExclusive: true,
		Points: sstable.SeqRange{Min: 5, Max: 900}, Ranges: sstable.SeqRange{Min: 901, Max: 902},
		Expiry:      sstable.TimeRange{Min: -1, Max: math.MaxInt64, Set: true},
		OldestMerge: 1_700_000_000_000, HasMerge: true,
		Blocks: 30, RawBytes: 120_000, StoredBytes: 60_000,
		Filter: sstable.FilterProps{Policy: 1, Hash: 1, BitsPerKey: 10, Lines: 20},
		Codec:  2,
		Scopes: []sstable.ScopeUsage{{Prefix: []byte{7}, Entries: 400, Bytes: 9000}, {Prefix: []byte{8, 1}, Entries: 500, Bytes: 9999}},
		KeyID:  77,
		Annotations: sstable.Annotations{
			Commits:      sstable.TimeRange{Min: 1_600_000_000_000, Max: 1_700_000_000_000, Set: true},
			Stamps:       []sstable.StampCount{{Stamp: 1, Entries: 10}, {Stamp: 300, Entries: 20}},
			Blobs:        []sstable.BlobUsage{{UID: fileid.UID{0xbb}, Bytes: 1 << 40}},
			Dictionaries: []uint64{4, 5},
		},
	}
	p.Kinds[keys.KindSet] = sstable.KindCount{Entries: 990, Bytes: 115_000}
	p.Kinds[keys.KindDelete] = sstable.KindCount{Entries: 10, Bytes: 1000}
	p.Kinds[keys.KindRangeDelete] = sstable.KindCount{Entries: 1, Bytes: 6}
	return p
}

func TestPropertiesKeepEveryField(t *testing.T) {
	for name, p := range map[string]*sstable.Properties{"full": fullProperties(), "empty": {}, "exact": {ScopesExact: true}} {
		b := sstable.EncodeProperties(p)
		got, err := sstable.DecodeProperties(b)
		require.NoError(t, err, name)
		require.Equal(t, b, sstable.EncodeProperties(&got), name)
		if name == "full" {
			require.Equal(t, p, &got)
		}
	}
}

func TestPropertiesGolden(t *testing.T) {
	golden.Assert(t, "testdata/properties.hex", []byte(hex.Dump(sstable.EncodeProperties(fullProperties()))))
}

func TestUnknownPropertiesAreSkippedUnlessTheyMustBeUnderstood(t *testing.T) {
	base := sstable.EncodeProperties(fullProperties())
	with := func(tag uint64) []byte {
		b := binary.AppendUvarint(append([]byte{}, base...), tag)
		return codec.AppendLengthPrefixed(b, []byte("from the future"))
	}
	got, err := sstable.DecodeProperties(with(500 << 1))
	require.NoError(t, err)
	require.Equal(t, fullProperties(), &got)
	_, err = sstable.DecodeProperties(with(500<<1 | 1))
	require.ErrorIs(t, err, sstable.ErrTooNew)
}

func TestPropertiesRefuseDisorder(t *testing.T) {
	one := sstable.EncodeProperties(&sstable.Properties{})
	_, err := sstable.DecodeProperties(append(append([]byte{}, one...), one...))
	require.Error(t, err, "the same tags twice")
	for n := 1; n < len(one); n++ {
		if _, err := sstable.DecodeProperties(one[:n]); err == nil {
			// A prefix that ends between records is a list of its own.
			p, _ := sstable.DecodeProperties(one[:n])
			require.Equal(t, one[:n], sstable.EncodeProperties(&p)[:n])
		}
	}
}

func FuzzProperties(f *testing.F) {
	f.Add(sstable.EncodeProperties(fullProperties()))
	f.Add(sstable.EncodeProperties(&sstable.Properties{}))
	f.Add([]byte{11 << 1, 8, 1, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1})
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := sstable.DecodeProperties(b)
		if err != nil {
			return
		}
		again, err := sstable.DecodeProperties(sstable.EncodeProperties(&p))
		require.NoError(t, err)
		require.Equal(t, sstable.EncodeProperties(&p), sstable.EncodeProperties(&again))
	})
}
