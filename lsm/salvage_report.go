package lsm

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
)

// KeyRange is a range of keys, [Lower, Upper). nil is no bound: the zero KeyRange is every
// key.
type KeyRange struct {
	// Lower and Upper are its bounds.
	Lower, Upper []byte
}

// Contains reports whether key lies in the range.
func (r KeyRange) Contains(key []byte) bool {
	return bytes.Compare(r.Lower, key) <= 0 && (r.Upper == nil || bytes.Compare(key, r.Upper) < 0)
}

// Loss is a part of a file that Salvage could not read, and that held entries.
type Loss struct {
	// Offset and Bytes say where in the file. All of it, or what is missing of it, when
	// Offset is -1.
	Offset, Bytes int64
	// Keys bounds the keys of the root scope that are lost: every key where nothing is
	// known, as in the log. OtherScopes: keys of other scopes may be lost too.
	Keys        KeyRange
	OtherScopes bool
	// Err is what is wrong.
	Err error
}

// SalvagedFile says what Salvage read of one file.
type SalvagedFile struct {
	// Name is the file's name within the store's directory, Bytes its length.
	Name  string
	Bytes int64
	// Entries is how many entries of tables, or operations of the log, were read from it.
	// What other files held too counts in each of them.
	Entries int64
	// Lost are the parts with entries that could not be read, by offset. EntriesLost is how
	// many entries were in them, -1 when that is not known.
	Lost        []Loss
	EntriesLost int64
	// Damaged are the parts that could not be read and held no entries: indexes, filters,
	// frames.
	Damaged []Loss
	// Unlisted: no manifest says that the file belongs to the store.
	Unlisted bool
}

// SalvageReport says exactly what Salvage took over and what it did not.
type SalvageReport struct {
	// Files are the files of the damaged store, by name.
	Files []SalvagedFile
	// ManifestRead: the manifest said which files live. Otherwise every table and segment
	// was taken over, and which version of a key is newest was decided by sequence numbers.
	ManifestRead bool
	// Recovery is what opening the damaged store would find in the log, if the log is sound.
	// A torn tail, which nobody was promised, is left out as opening leaves it out.
	Recovery Recovery
	// Entries and RangeTombstones are what the new store holds, tombstones and older
	// versions included.
	Entries, RangeTombstones int64
	// Doubtful are ranges of keys in the root scope in which what is lost may have been
	// newer than what is there: a key there may show an older value. OtherScopes: keys of
	// other scopes may, too.
	Doubtful    []KeyRange
	OtherScopes bool
	// DeletedMayReturn: keys that had been deleted may be there again, because the deletion
	// is lost, or because files that had been replaced were taken over.
	DeletedMayReturn bool
}

// Complete reports whether everything was taken over and nothing is in doubt.
func (r *SalvageReport) Complete() bool {
	return len(r.Doubtful) == 0 && !r.OtherScopes && !r.DeletedMayReturn &&
		!slices.ContainsFunc(r.Files, func(f SalvagedFile) bool { return len(f.Lost) > 0 })
}

// String returns the report as lines for people. Keys are quoted, values never shown.
func (r *SalvageReport) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "taken over: %d entries, %d range tombstones\n", r.Entries, r.RangeTombstones)
	if !r.ManifestRead {
		b.WriteString("the manifest could not be read: sequence numbers decided what is newest\n")
	}
	if r.Recovery.LostBytes > 0 {
		fmt.Fprintf(&b, "the log ends in a torn tail of %d bytes, which nobody was promised\n", r.Recovery.LostBytes)
	}
	for i := range r.Files {
		f := &r.Files[i]
		if len(f.Lost)+len(f.Damaged) == 0 {
			continue
		}
		fmt.Fprintf(&b, "%s: %d entries read", f.Name, f.Entries)
		if f.EntriesLost >= 0 {
			fmt.Fprintf(&b, ", %d lost", f.EntriesLost)
		} else {
			b.WriteString(", others lost")
		}
		b.WriteByte('\n')
		for _, l := range f.Lost {
			fmt.Fprintf(&b, "  lost: %s, keys %s: %v\n", l.place(), l.Keys, l.Err)
		}
		for _, l := range f.Damaged {
			fmt.Fprintf(&b, "  damaged: %s: %v\n", l.place(), l.Err)
		}
	}
	for _, d := range r.Doubtful {
		fmt.Fprintf(&b, "older values may show: keys %s\n", d)
	}
	if r.DeletedMayReturn {
		b.WriteString("deleted keys may have come back\n")
	}
	return b.String()
}

func (l *Loss) place() string {
	if l.Offset < 0 {
		return "all of it"
	}
	return fmt.Sprintf("%d bytes at %d", l.Bytes, l.Offset)
}

// String returns the range as ["lower", "upper").
func (r KeyRange) String() string {
	switch {
	case len(r.Lower) == 0 && r.Upper == nil:
		return "all"
	case r.Upper == nil:
		return fmt.Sprintf("from %q", r.Lower)
	}
	return fmt.Sprintf("[%q, %q)", r.Lower, r.Upper)
}

// rootRange puts a range of internal user keys, with the scope in front, into a range of
// the root scope, empty if it has none, and reports whether it reaches others.
func rootRange(lower, upper []byte) (r KeyRange, others bool) {
	if bytes.Compare(lower, rootPrefix) < 0 {
		others = true
	} else if rest, ok := bytes.CutPrefix(lower, rootPrefix); ok {
		r.Lower = bytes.Clone(rest)
	} else { // above the root
		return KeyRange{Lower: []byte{}, Upper: []byte{}}, true
	}
	if upper == nil || bytes.Compare(upper, rootUpper) > 0 {
		return r, true
	}
	if bytes.Compare(upper, rootPrefix) <= 0 {
		return KeyRange{Lower: []byte{}, Upper: []byte{}}, true
	}
	if rest, ok := bytes.CutPrefix(upper, rootPrefix); ok {
		r.Upper = append([]byte{}, rest...)
	}
	return r, others
}

// empty reports whether no key is in the range.
func (r KeyRange) empty() bool {
	return r.Upper != nil && bytes.Compare(r.Lower, r.Upper) >= 0
}

// joinKeyRanges sorts ranges and joins those that meet.
func joinKeyRanges(in []KeyRange) []KeyRange {
	in = slices.DeleteFunc(in, KeyRange.empty)
	slices.SortFunc(in, func(a, b KeyRange) int { return bytes.Compare(a.Lower, b.Lower) })
	var out []KeyRange
	for _, r := range in {
		n := len(out)
		if n == 0 || out[n-1].Upper != nil && bytes.Compare(out[n-1].Upper, r.Lower) < 0 {
			out = append(out, r)
			continue
		}
		if last := &out[n-1]; last.Upper != nil && (r.Upper == nil || bytes.Compare(r.Upper, last.Upper) > 0) {
			last.Upper = r.Upper
		}
	}
	return out
}
