package sstable

import (
	"bytes"
	"encoding/binary"
	"fmt"

	"github.com/loamdb/loam/internal/codec"
	"github.com/loamdb/loam/internal/keys"
	"github.com/loamdb/loam/internal/seal"
)

// Identifiers of properties, on disk. A tag is id<<1, with the lowest bit set when a
// reader that does not know the id must refuse the table.
const (
	propEntries = iota + 1
	propKinds
	propBounds
	propSeqNums
	propCommits
	propExpiry
	propOldestMerge
	propBlocks
	propFilter
	propCodec
	propScopes
	propStamps
	propBlobs
	propKeyID
	propDictionaries
	propEnd
)

// propTags are the tags by id: the identifiers with their must-understand bits.
var propTags = [propEnd]uint64{
	propEntries: propEntries << 1, propKinds: propKinds << 1, propBounds: propBounds<<1 | 1,
	propSeqNums: propSeqNums << 1, propCommits: propCommits << 1, propExpiry: propExpiry << 1,
	propOldestMerge: propOldestMerge << 1, propBlocks: propBlocks << 1, propFilter: propFilter << 1,
	propCodec: propCodec << 1, propScopes: propScopes << 1, propStamps: propStamps << 1,
	propBlobs: propBlobs<<1 | 1, propKeyID: propKeyID<<1 | 1, propDictionaries: propDictionaries<<1 | 1,
}

// append encodes p: tag, length, content for each record that has something to say.
func (p *Properties) append(dst []byte) []byte {
	var content []byte
	for id := propEntries; id < propEnd; id++ {
		content = p.appendRecord(content[:0], id)
		if len(content) > 0 {
			dst = binary.AppendUvarint(dst, propTags[id])
			dst = codec.AppendLengthPrefixed(dst, content)
		}
	}
	return dst
}

func (p *Properties) appendRecord(dst []byte, id int) []byte {
	switch id {
	case propEntries:
		if p.Entries > 0 {
			dst = appendUvarints(dst, p.Entries, p.KeyBytes, p.ValueBytes)
		}
	case propKinds:
		for kind, c := range p.Kinds {
			if c.Entries > 0 {
				dst = appendUvarints(append(dst, byte(kind)), c.Entries, c.Bytes)
			}
		}
	case propBounds:
		dst = codec.AppendLengthPrefixed(dst, p.Smallest)
		dst = codec.AppendLengthPrefixed(dst, p.Largest)
		dst = append(dst, flag(p.LargestExclusive))
	case propSeqNums:
		dst = appendUvarints(dst, uint64(p.Points.Min), uint64(p.Points.Max), uint64(p.Ranges.Min), uint64(p.Ranges.Max))
	case propCommits:
		dst = p.Commits.append(dst)
	case propExpiry:
		dst = p.Expiry.append(dst)
	case propOldestMerge:
		if p.HasMerge {
			dst = binary.LittleEndian.AppendUint64(dst, uint64(p.OldestMerge))
		}
	case propBlocks:
		if p.Blocks > 0 {
			dst = appendUvarints(dst, p.Blocks, p.RawBytes, p.StoredBytes)
		}
	case propFilter:
		if f := p.Filter; f.Policy != 0 {
			dst = appendUvarints(append(dst, f.Policy, f.Hash), f.BitsPerKey, f.Lines)
		}
	case propCodec:
		if p.Codec != 0 {
			dst = append(dst, p.Codec)
		}
	default:
		dst = p.appendList(dst, id)
	}
	return dst
}

func (p *Properties) appendList(dst []byte, id int) []byte {
	switch id {
	case propScopes:
		if len(p.Scopes) > 0 || p.ScopesExact {
			dst = appendUvarints(append(dst, flag(p.ScopesExact)), uint64(len(p.Scopes)))
		}
		for _, s := range p.Scopes {
			dst = appendUvarints(codec.AppendLengthPrefixed(dst, s.Prefix), s.Entries, s.Bytes)
		}
	case propStamps:
		if len(p.Stamps) > 0 {
			dst = appendUvarints(dst, uint64(len(p.Stamps)))
		}
		for _, s := range p.Stamps {
			dst = appendUvarints(dst, s.Stamp, s.Entries)
		}
	case propBlobs:
		if len(p.Blobs) > 0 {
			dst = appendUvarints(dst, uint64(len(p.Blobs)))
		}
		for _, b := range p.Blobs {
			dst = appendUvarints(append(dst, b.UID[:]...), b.Bytes)
		}
	case propKeyID:
		if p.KeyID != 0 {
			dst = appendUvarints(dst, uint64(p.KeyID))
		}
	case propDictionaries:
		if len(p.Dictionaries) > 0 {
			dst = appendUvarints(dst, uint64(len(p.Dictionaries)))
			dst = appendUvarints(dst, p.Dictionaries...)
		}
	}
	return dst
}

func appendUvarints(dst []byte, vs ...uint64) []byte {
	for _, v := range vs {
		dst = binary.AppendUvarint(dst, v)
	}
	return dst
}

func flag(b bool) byte {
	if b {
		return 1
	}
	return 0
}

func (r TimeRange) append(dst []byte) []byte {
	if !r.Set {
		return dst
	}
	dst = binary.LittleEndian.AppendUint64(dst, uint64(r.Min))
	return binary.LittleEndian.AppendUint64(dst, uint64(r.Max))
}

// decodeProperties decodes what append encoded. The result owns its memory.
func decodeProperties(b []byte) (Properties, error) {
	var p Properties
	d := codec.NewDecoder(b)
	last := uint64(0)
	for d.Err() == nil && d.Len() > 0 {
		tag := d.Uvarint()
		content := d.LengthPrefixed()
		if d.Err() != nil {
			break
		}
		id := tag >> 1
		switch {
		case id <= last: // not sorted, or twice
			d.Fail(errMalformed)
		case id < propEnd:
			if tag != propTags[id] {
				d.Fail(errMalformed)
				break
			}
			r := codec.NewDecoder(content)
			p.decodeRecord(&r, int(id))
			if r.Err() != nil || r.Len() != 0 {
				d.Fail(fmt.Errorf("property %d: %w", id, errMalformed))
			}
		case tag&1 != 0:
			return Properties{}, fmt.Errorf("property %d: %w", id, ErrTooNew)
		}
		last = id
	}
	if d.Err() != nil {
		return Properties{}, fmt.Errorf("properties: %w", d.Err())
	}
	return p, nil
}

func (p *Properties) decodeRecord(d *codec.Decoder, id int) {
	switch id {
	case propEntries:
		p.Entries, p.KeyBytes, p.ValueBytes = d.Uvarint(), d.Uvarint(), d.Uvarint()
		failIf(d, p.Entries == 0)
	case propKinds:
		last := keys.Kind(0)
		for d.Err() == nil && d.Len() > 0 {
			kind := keys.Kind(d.Uint8())
			if !kind.Valid() || kind <= last {
				d.Fail(errMalformed)
				break
			}
			p.Kinds[kind] = KindCount{d.Uvarint(), d.Uvarint()}
			failIf(d, p.Kinds[kind].Entries == 0)
			last = kind
		}
		failIf(d, last == 0)
	case propBounds:
		p.Smallest, p.Largest = bytes.Clone(d.LengthPrefixed()), bytes.Clone(d.LengthPrefixed())
		p.LargestExclusive = decodeFlag(d)
	case propSeqNums:
		p.Points, p.Ranges = decodeSeqRange(d), decodeSeqRange(d)
	case propCommits:
		p.Commits = decodeTimeRange(d)
	case propExpiry:
		p.Expiry = decodeTimeRange(d)
	case propOldestMerge:
		p.OldestMerge, p.HasMerge = int64(d.Uint64()), true
	case propBlocks:
		p.Blocks, p.RawBytes, p.StoredBytes = d.Uvarint(), d.Uvarint(), d.Uvarint()
		failIf(d, p.Blocks == 0)
	case propFilter:
		p.Filter = FilterProps{d.Uint8(), d.Uint8(), d.Uvarint(), d.Uvarint()}
		failIf(d, p.Filter.Policy == 0)
	case propCodec:
		p.Codec = d.Uint8()
		failIf(d, p.Codec == 0)
	default:
		p.decodeList(d, id)
	}
}

func (p *Properties) decodeList(d *codec.Decoder, id int) {
	switch id {
	case propScopes:
		p.ScopesExact = decodeFlag(d)
		for range decodeCount(d, 3) {
			p.Scopes = append(p.Scopes, ScopeUsage{bytes.Clone(d.LengthPrefixed()), d.Uvarint(), d.Uvarint()})
		}
		failIf(d, len(p.Scopes) == 0 && !p.ScopesExact)
	case propStamps:
		for range decodeCount(d, 2) {
			p.Stamps = append(p.Stamps, StampCount{d.Uvarint(), d.Uvarint()})
		}
		failIf(d, len(p.Stamps) == 0)
	case propBlobs:
		for range decodeCount(d, 17) {
			var u BlobUsage
			copy(u.UID[:], d.Bytes(len(u.UID)))
			u.Bytes = d.Uvarint()
			p.Blobs = append(p.Blobs, u)
		}
		failIf(d, len(p.Blobs) == 0)
	case propKeyID:
		p.KeyID = seal.KeyID(d.Uvarint())
		failIf(d, p.KeyID == 0)
	case propDictionaries:
		for range decodeCount(d, 1) {
			p.Dictionaries = append(p.Dictionaries, d.Uvarint())
		}
		failIf(d, len(p.Dictionaries) == 0)
	}
}

// decodeCount reads the number of elements of at least size bytes each, and compares
// it with what remains.
func decodeCount(d *codec.Decoder, size int) int {
	n := d.Uvarint()
	if n > uint64(d.Len()/size) {
		d.Fail(codec.ErrTruncated)
		return 0
	}
	return int(n)
}

func decodeFlag(d *codec.Decoder) bool {
	b := d.Uint8()
	failIf(d, b > 1)
	return b == 1
}

func decodeSeqRange(d *codec.Decoder) SeqRange {
	lo, hi := d.Uvarint(), d.Uvarint()
	failIf(d, lo > hi || hi > uint64(keys.MaxSeqNum))
	return SeqRange{keys.SeqNum(lo), keys.SeqNum(hi)}
}

func decodeTimeRange(d *codec.Decoder) TimeRange {
	lo, hi := int64(d.Uint64()), int64(d.Uint64())
	failIf(d, lo > hi)
	return TimeRange{lo, hi, true}
}

func failIf(d *codec.Decoder, bad bool) {
	if bad {
		d.Fail(errMalformed)
	}
}
