package fuzz

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"iter"

	"github.com/loamdb/loam/crypto"
	"github.com/loamdb/loam/internal/vfs"
	"github.com/loamdb/loam/lsm"
)

// A device, or what lies between, may write a block elsewhere than it was told to, or give
// another one than it was asked for. Both blocks are sound by themselves.

// NewAligned makes a closed store for blocks to be misdirected in: blocks of tables are not
// compressed and hold as many entries of equal lengths, so that most are as long as any
// other, and one written over another leaves no seam. It is in clear: where blocks lie is looked up in it.
func NewAligned(setup Setup, tables int) (*Damaged, error) {
	for setup.Encrypted() || setup.Options(nil).Compression != lsm.NoCompression {
		setup.Seed++
	}
	var steps []Step
	for table := range tables {
		s := Step{Kind: Apply, Sync: table%2 == 0}
		for i := range 40 {
			key := fmt.Sprintf("key-%04d", 40*table+i)
			s.Ops = append(s.Ops, Op{Key: key, Value: fmt.Sprintf("%032d", 40*table+i)})
		}
		steps = append(steps, s, Step{Kind: Flush})
	}
	// Something for the log to hold, and range tombstones for a table.
	steps = append(steps,
		Step{Kind: Apply, Ops: []Op{{Key: "key-0010", Upper: "key-0015"}, {Key: "key-0050", Delete: true}}}, Step{Kind: Flush},
		Step{Kind: Apply, Sync: true, Ops: []Op{{Key: "key-0020", Value: "new"}}},
		Step{Kind: Apply, Ops: []Op{{Key: "key-0021", Value: "new"}}})
	return newDamaged(setup, steps, true)
}

// place is a part of a file.
type place struct {
	name   string
	off, n int
}

func (p place) String() string { return fmt.Sprintf("%s:%d+%d", p.name, p.off, p.n) }

// blocks returns the blocks of all tables, as docs/formats/table.md lays them out: data
// blocks, range tombstones, filter, index, top index, properties.
func (d *Damaged) blocks() (all []place) {
	le := binary.LittleEndian
	for _, name := range d.names {
		if !isTable(name) {
			continue
		}
		file := d.files[name]
		footer := file[len(file)-128:]
		at := func(field int) int { return int(le.Uint64(footer[field:])) }
		ranges, filter, index, top, props := at(32), at(48), at(56), at(64), at(80)
		n := int(le.Uint32(file[index:]))
		width, base := int(file[index+8]), int(le.Uint64(file[index+16:]))
		offset := func(i int) int {
			field := file[index+32+8*n+i*width:]
			if width == 8 {
				return base + int(le.Uint64(field))
			}
			return base + int(le.Uint32(field))
		}
		var ends []int // where each block begins, and at last where the footer does
		for i := range n {
			ends = append(ends, offset(i))
		}
		ends = append(ends, ranges, filter, index, top, props, len(file)-128)
		for i := range len(ends) - 1 {
			if n := ends[i+1] - ends[i]; n > 0 {
				all = append(all, place{name, ends[i], n})
			}
		}
	}
	return all
}

// sectors returns what a device writes at once of every file.
func (d *Damaged) sectors() (all []place) {
	const sector = 512
	for _, name := range d.names {
		for off := 0; off < len(d.files[name]); off += sector {
			all = append(all, place{name, off, min(sector, len(d.files[name])-off)})
		}
	}
	return all
}

// content returns what is at a place.
func (d *Damaged) content(p place) []byte { return d.files[p.name][p.off : p.off+p.n] }

// misdirected yields each so many-th pair of places, the content of one written over that of
// the other, and both exchanged.
func (d *Damaged) misdirected(places []place, every int) iter.Seq[harm] {
	return func(yield func(harm) bool) {
		n := 0
		for i, from := range places {
			for j, to := range places {
				n++
				here, there := d.content(from), d.content(to)
				size := min(len(here), len(there))
				if n%every != 0 || i == j || bytes.Equal(here[:size], there[:size]) {
					continue
				}
				h := harm{what: fmt.Sprintf("%s written to %s", from, to), do: func(fs *vfs.Mem) error {
					return overwrite(fs, to.name, int64(to.off), here[:size])
				}}
				if i < j && n/every%2 == 0 {
					h.what = fmt.Sprintf("%s and %s exchanged", from, to)
					h.do = func(fs *vfs.Mem) error {
						return errors.Join(overwrite(fs, to.name, int64(to.off), here[:size]),
							overwrite(fs, from.name, int64(from.off), there[:size]))
					}
				}
				h.tables = isTable(to.name)
				if !yield(h) {
					return
				}
			}
		}
	}
}

// MisdirectBlocks does so to each so many-th pair of blocks of tables: lsm.Verify must find
// every one, and reading must find it, or not be misled. Explored.Points counts what reading
// found.
func (d *Damaged) MisdirectBlocks(every int) Explored {
	return d.explore(d.misdirected(d.blocks(), every), d.found)
}

// MisdirectSectors does so to sectors of any files. What is not in tables may be without
// meaning, such as the part of the log behind its end: Verify must find it, or the store hold
// what it held.
func (d *Damaged) MisdirectSectors(every int) Explored {
	return d.explore(d.misdirected(d.sectors(), every), d.found)
}

// found verifies the store with a harm done to it, and opens and reads it.
func (d *Damaged) found(h harm) (detected bool, err error) {
	if _, err := d.verified(h); err != nil {
		return false, err
	}
	return d.suffer(h)
}

// VerifyBytes, VerifyCuts and VerifyMisdirected have lsm.Verify find what EveryByte, EveryCut and
// MisdirectSectors do to the files: all of it in tables, whether or not anybody reads there;
// elsewhere all that keeps the store from opening or changes what it holds.
// Explored.Points counts what it found.
func (d *Damaged) VerifyBytes(every int) Explored { return d.explore(d.changes(every), d.verified) }

// VerifyCuts is described at VerifyBytes.
func (d *Damaged) VerifyCuts(every int) Explored { return d.explore(d.allCuts(every), d.verified) }

// VerifyMisdirected is described at VerifyBytes.
func (d *Damaged) VerifyMisdirected(every int) Explored {
	return d.explore(d.misdirected(d.sectors(), every), d.verified)
}

// verified verifies the store with a harm done to it.
func (d *Damaged) verified(h harm) (detected bool, err error) {
	fs := d.mem.Copy()
	if err := h.do(fs); err != nil {
		return false, err
	}
	v, err := lsm.Verify(context.Background(), Dir, d.setup.Options(fs))
	switch {
	case errors.Is(err, lsm.ErrTooNew), errors.Is(err, lsm.ErrNotExist):
		return true, nil // refused as what it seems to be
	case ofKeyring(err):
		return true, nil // without which nothing can be read
	case err != nil:
		return false, err
	case len(v.Findings) > 0:
		return true, nil
	case h.tables:
		return false, fmt.Errorf("%w: verify found nothing", ErrWrong)
	}
	atLeast := d.flushed
	switch {
	case v.Recovery.Clean:
		atLeast = d.ledger.Issued()
	case h.slight:
		atLeast = max(atLeast, d.claimed)
	}
	if _, err := reopen(d.setup, fs, d.ledger, atLeast); err != nil {
		return false, fmt.Errorf("verify found nothing: %w", err)
	}
	return false, nil
}

// ofKeyring reports whether an error is damage of the keyring.
func ofKeyring(err error) bool {
	var c *lsm.CorruptionError
	return errors.As(err, &c) && c.File == crypto.KeyringName
}
