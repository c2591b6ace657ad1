package keys

import (
	"bytes"
	"fmt"

	"github.com/cespare/xxhash/v2"
)

// SeqNum numbers one operation of the store's history. It has 56 bits, is never
// reused, and is never changed once given.
type SeqNum uint64

// MaxSeqNum is greater than every number an operation can carry. Reading at it sees
// everything.
const MaxSeqNum SeqNum = 1<<56 - 1

// Kind says what an operation does to its key. The values are on disk.
type Kind uint8

// Kinds of operations. Zero is no kind, so that zeroed bytes never look like an
// operation. Format version 1 reserves every kind that the engine is designed to
// need: adding one later would break readers of older files.
const (
	KindInvalid           Kind = 0
	KindDelete            Kind = 1  // the key is absent from here on
	KindSet               Kind = 2  // the value is the entry's value
	KindSetWithExpiry     Kind = 3  // value: 8 bytes of expiry (unix ms, little endian), then the value
	KindMerge             Kind = 4  // value: commit time, operator id and schema stamp, MergeHeaderLen bytes, then the operand
	KindRangeDelete       Kind = 5  // key: lower bound; value: exclusive upper bound
	KindExpiryMarker      Kind = 6  // what compaction leaves of an expired SetWithExpiry
	KindSetBlob           Kind = 7  // as Set, the value in a blob file
	KindSetWithExpiryBlob Kind = 8  // as SetWithExpiry, the value in a blob file
	KindMergeBlob         Kind = 9  // as Merge, the operand in a blob file
	KindIngest            Kind = 10 // log only: tables that entered at this number
	KindSetSealed         Kind = 11 // as Set, the value sealed under a scope key
	KindSetSealedBlob     Kind = 12 // as SetSealed, the sealed value in a blob file

	KindSetSealedExpiry     Kind = 13 // value: 8 bytes of expiry as SetWithExpiry has, then the value, sealed under a scope key
	KindSetSealedExpiryBlob Kind = 14 // as SetSealedExpiry, the sealed value in a blob file

	maxKind       = KindSetSealedExpiryBlob
	kindSeek Kind = 0xff
)

// Valid reports whether k is a kind that format version 1 defines.
func (k Kind) Valid() bool { return k > KindInvalid && k <= maxKind }

// What precedes the value proper, in bytes.
const (
	// ExpiryLen is the length of the expiry (unix ms, little endian) that begins the
	// values of kinds that expire, and is that of KindExpiryMarker.
	ExpiryLen = 8

	// MergeHeaderLen is the length of what begins the values of KindMerge and
	// KindMergeBlob. An operand outlives the write that made it: compaction may carry it
	// for years, past changes of the schema, before a base turns up to fold it into.
	//
	//	0 commit time i64 (unix ms)   8 operator id u32   12 schema stamp u32, 0: none
	MergeHeaderLen = 16
)

// MinValueLen returns the length of the shortest value that an entry of kind k can
// have. Where it is not 0 the first eight bytes are a time.
func (k Kind) MinValueLen() int {
	switch k {
	case KindSetWithExpiry, KindSetWithExpiryBlob, KindExpiryMarker, KindSetSealedExpiry, KindSetSealedExpiryBlob:
		return ExpiryLen
	case KindMerge, KindMergeBlob:
		return MergeHeaderLen
	}
	return 0
}

// IsBlob reports whether the value of entries of kind k ends in a reference into a blob file.
func (k Kind) IsBlob() bool {
	return k >= KindSetBlob && k <= KindMergeBlob || k == KindSetSealedBlob || k == KindSetSealedExpiryBlob
}

// IsSealed reports whether what entries of kind k say of their key is sealed.
func (k Kind) IsSealed() bool { return k >= KindSetSealed && k <= KindSetSealedExpiryBlob }

// Expires reports whether entries of kind k are a value that expires.
func (k Kind) Expires() bool {
	switch k {
	case KindSetWithExpiry, KindSetWithExpiryBlob, KindSetSealedExpiry, KindSetSealedExpiryBlob:
		return true
	}
	return false
}

// Opened returns the kind that says the same of a value that is not sealed: k itself unless it
// IsSealed.
func (k Kind) Opened() Kind {
	switch k {
	case KindSetSealed:
		return KindSet
	case KindSetSealedBlob:
		return KindSetBlob
	case KindSetSealedExpiry:
		return KindSetWithExpiry
	case KindSetSealedExpiryBlob:
		return KindSetWithExpiryBlob
	}
	return k
}

// Sealed returns the kind that says the same of a value that is sealed, KindInvalid if there is
// none.
func (k Kind) Sealed() Kind {
	switch k {
	case KindSet, KindSetSealed:
		return KindSetSealed
	case KindSetWithExpiry, KindSetSealedExpiry:
		return KindSetSealedExpiry
	}
	return KindInvalid
}

// Inline returns the kind that says the same of a value which stands in the entry: k itself
// unless it IsBlob.
func (k Kind) Inline() Kind {
	switch k {
	case KindSetBlob:
		return KindSet
	case KindSetWithExpiryBlob:
		return KindSetWithExpiry
	case KindMergeBlob:
		return KindMerge
	case KindSetSealedBlob:
		return KindSetSealed
	case KindSetSealedExpiryBlob:
		return KindSetSealedExpiry
	}
	return k
}

// Blob returns the kind that says the same of a value in a blob file, KindInvalid if there
// is none.
func (k Kind) Blob() Kind {
	switch k {
	case KindSet:
		return KindSetBlob
	case KindSetWithExpiry:
		return KindSetWithExpiryBlob
	case KindMerge:
		return KindMergeBlob
	case KindSetSealed:
		return KindSetSealedBlob
	case KindSetSealedExpiry:
		return KindSetSealedExpiryBlob
	}
	return KindInvalid
}

var kindNames = [...]string{
	"INVALID", "DELETE", "SET", "SETEXP", "MERGE", "RANGEDEL", "EXPMARK", "SETBLOB", "SETEXPBLOB", "MERGEBLOB", "INGEST",
	"SETSEALED", "SETSEALEDBLOB", "SETSEALEDEXP", "SETSEALEDEXPBLOB",
}

// String returns the kind's name as dumps and golden files print it.
func (k Kind) String() string {
	if int(k) < len(kindNames) {
		return kindNames[k]
	}
	return fmt.Sprintf("KIND(%d)", uint8(k))
}

// Trailer packs a sequence number and a kind: SeqNum<<8 | Kind.
type Trailer uint64

// MakeTrailer packs seq, which must not exceed MaxSeqNum, and kind.
func MakeTrailer(seq SeqNum, kind Kind) Trailer { return Trailer(seq)<<8 | Trailer(kind) }

// SeekTrailer returns the trailer that sorts at or before every version of a user key
// that a reader at seq may see, and after every version that it may not.
func SeekTrailer(seq SeqNum) Trailer { return MakeTrailer(seq, kindSeek) }

// SeqNum returns the sequence number.
func (t Trailer) SeqNum() SeqNum { return SeqNum(t >> 8) }

// Kind returns the kind.
func (t Trailer) Kind() Kind { return Kind(t) }

// String prints the trailer as seq,KIND.
func (t Trailer) String() string { return fmt.Sprintf("%d,%s", uint64(t.SeqNum()), t.Kind()) }

// Compare orders internal keys: by user key ascending, then newest first.
func Compare(aKey []byte, aTrailer Trailer, bKey []byte, bTrailer Trailer) int {
	if c := bytes.Compare(aKey, bKey); c != 0 {
		return c
	}
	switch {
	case aTrailer > bTrailer:
		return -1
	case aTrailer < bTrailer:
		return 1
	}
	return 0
}

// Hash returns the hash of a user key by which filters and memtables know it: XXH64 with
// seed 0. Filters are on disk, so it never changes. A lookup computes it once.
func Hash(key []byte) uint64 { return xxhash.Sum64(key) }

// Limits of what one entry may hold, in bytes. They are checked before commit.
const (
	// MaxUserKeyLen is the longest key a user may store.
	MaxUserKeyLen = 65_535
	// MaxScopePrefixLen is the longest encoding of a scope id.
	MaxScopePrefixLen = 9
	// MaxKeyLen is the longest key below package lsm: scope prefix and user key. It
	// does not fit 16 bits.
	MaxKeyLen = MaxScopePrefixLen + MaxUserKeyLen
	// MaxValueLen is the longest value.
	MaxValueLen = 1 << 30
)
