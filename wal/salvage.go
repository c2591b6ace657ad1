package wal

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/loamdb/loam/internal/fileid"
	"github.com/loamdb/loam/internal/keys"
	"github.com/loamdb/loam/internal/mutant"
	"github.com/loamdb/loam/internal/seal"
	"github.com/loamdb/loam/internal/vfs"
)

// SalvageOptions say where a damaged log is and what is known of it.
type SalvageOptions struct {
	// FS and Dir say where the slot files are.
	FS  vfs.FS
	Dir string
	// OpenCipher is that of Options; nil: what is encrypted cannot be read. With it, segments in
	// clear are read only where they are listed: anybody can have made others.
	OpenCipher seal.OpenCipher
	// Store is the store's UID; zero is not known, and means that of most segments.
	Store fileid.UID
	// Listed are the segments that a manifest lists, in any order. Their identity is
	// believed where a header is damaged.
	Listed []Segment
	// Unlisted reads the other slots too, where they hold segments numbered Min or above.
	Unlisted bool
	Min      SegmentNum
}

// SlotRemains is what Salvage read of one slot file.
type SlotRemains struct {
	// Slot is the file, Bytes its length, and Segment what it holds; 0: nothing that was
	// looked for, or, with a gap, something that nobody can tell.
	Slot    Slot
	Bytes   int64
	Segment SegmentNum
	// Batches counts those delivered that begin here.
	Batches int
	// Gaps are the parts where records were and cannot be read, ascending.
	Gaps []Gap
}

// Gap is a part of a slot file that could not be read.
type Gap struct {
	// Offset and Bytes say where. Bytes is 0 where all that is known is that it begins.
	Offset, Bytes int64
	// Err is what is wrong.
	Err error
}

// Salvage reads every whole batch that is left of a damaged log, in the order of the log,
// and calls fn with each. Unlike Replay it goes on behind damage, and judges nothing: a
// batch behind a gap may never have been acknowledged, and one before it may be missing. It
// never delivers what no checksum covers, nor what is encrypted and not authentic, nor what lies behind the place where a later
// segment says that the log went on in it. It writes nothing. Errors are those of listing
// the directory and of opening files, ctx's, and fn's.
func Salvage(ctx context.Context, o SalvageOptions, fn func(Record) error) ([]SlotRemains, error) {
	s := salvager{ctx: ctx, o: o, fn: fn}
	if err := s.findSegments(); err != nil {
		return nil, err
	}
	for i := range s.segments {
		if err := s.segment(i); err != nil {
			return nil, err
		}
	}
	s.judgeTails()
	for _, g := range s.segments {
		s.others = append(s.others, g.remains)
	}
	slices.SortFunc(s.others, func(a, b SlotRemains) int { return int(a.Slot) - int(b.Slot) })
	return s.others, nil
}

// salvager is the state of one Salvage.
type salvager struct {
	ctx      context.Context
	o        SalvageOptions
	fn       func(Record) error
	segments []salvagedSegment // ascending by number
	others   []SlotRemains
	scan     scanner
	claimed  Position
	open     openBatch
	forged   bool // what was passed over since the last record is whole and not authentic
}

// salvagedSegment is a segment that is worth reading.
type salvagedSegment struct {
	Segment
	store   fileid.UID
	sound   bool // its header is
	listed  bool
	guessed bool // its identity was taken from a damaged header
	open    *opener
	link    Link
	linked  bool // link was read
	limit   int64
	end     int64 // where reading ended
	missing int64 // bytes of the file
	remains SlotRemains
}

// findSegments looks at every slot and keeps those that hold a segment of the store.
func (s *salvager) findSegments() error {
	names, err := s.o.FS.List(s.o.Dir)
	if err != nil {
		return fmt.Errorf("wal: list directory: %w", err)
	}
	votes := map[fileid.UID]int{}
	missing := map[Slot]Segment{}
	for _, seg := range s.o.Listed {
		missing[seg.Slot] = seg
	}
	for _, name := range names {
		slot, ok := ParseSlotName(name)
		if !ok {
			continue
		}
		delete(missing, slot)
		g, err := s.look(slot)
		if err != nil {
			return err
		}
		if g.Num == 0 {
			s.others = append(s.others, g.remains)
			continue
		}
		if g.sound {
			votes[g.store]++
		}
		s.segments = append(s.segments, g)
	}
	for slot, seg := range missing {
		s.others = append(s.others, SlotRemains{Slot: slot, Segment: seg.Num, Gaps: []Gap{{Err: errMissing}}})
	}
	s.choose(votes)
	s.limits()
	return nil
}

// choose drops segments of other stores, and those that are not wanted.
func (s *salvager) choose(votes map[fileid.UID]int) {
	store := s.o.Store
	for uid, n := range votes {
		if s.o.Store == (fileid.UID{}) && (n > votes[store] || n == votes[store] && uid.String() < store.String()) {
			store = uid
		}
	}
	for i := range s.segments {
		if g := &s.segments[i]; g.guessed {
			g.Num = s.number(g)
		}
	}
	s.segments = slices.DeleteFunc(s.segments, func(g salvagedSegment) bool {
		drop := g.sound && g.store != store || !g.listed && g.Num < s.o.Min
		if drop {
			s.others = append(s.others, SlotRemains{Slot: g.Slot, Bytes: g.remains.Bytes})
		}
		return drop
	})
	for i := range s.segments {
		s.segments[i].remains.Segment = s.segments[i].Num
	}
	// A copy in another slot tells nothing new.
	seen := map[fileid.UID]bool{}
	s.segments = slices.DeleteFunc(s.segments, func(g salvagedSegment) bool {
		copied := seen[g.UID]
		seen[g.UID] = true
		return copied
	})
	slices.SortFunc(s.segments, func(a, b salvagedSegment) int {
		if a.Num != b.Num {
			return int(min(max(int64(a.Num)-int64(b.Num), -1), 1))
		}
		return int(a.Slot) - int(b.Slot)
	})
}

// number returns the number of a segment whose header is damaged, perhaps there: its
// successor knows it, and its own link the number before.
func (s *salvager) number(g *salvagedSegment) SegmentNum {
	for i := range s.segments {
		if next := &s.segments[i]; next.linked && next.link.UID == g.UID && g.UID != (fileid.UID{}) {
			return next.link.Num
		}
	}
	return g.link.Num + 1
}

// limits finds out where each segment ended, from the link of the one after it.
func (s *salvager) limits() {
	for i := range s.segments {
		for j := i + 1; j < len(s.segments); j++ {
			if next := &s.segments[j]; next.linked && next.link.Num == s.segments[i].Num && next.link.UID == s.segments[i].UID {
				s.segments[i].limit = next.link.Length
			}
		}
	}
}

// look reads the start of a slot. A Num of 0 says that there is nothing to be read from it.
func (s *salvager) look(slot Slot) (g salvagedSegment, err error) {
	g.remains.Slot = slot
	f, err := s.o.FS.Open(slotPath(s.o.Dir, slot), vfs.ReadOnly)
	if err != nil {
		return g, fmt.Errorf("wal: open slot: %w", err)
	}
	defer f.Close()
	if g.remains.Bytes, err = f.Size(); err != nil {
		return g, fmt.Errorf("wal: size of slot: %w", err)
	}
	p := make([]byte, minSegmentBytes)
	n, _ := f.ReadAt(p, 0) // what cannot be read is zero, and no header
	clear(p[n:])
	h, herr := decodeHeader(p)
	g.sound = herr == nil
	listed := slices.IndexFunc(s.o.Listed, func(seg Segment) bool { return seg.Slot == slot })
	if listed >= 0 && g.sound && h.uid != s.o.Listed[listed].UID {
		s.others = append(s.others, SlotRemains{
			Slot: slot, Bytes: g.remains.Bytes, Segment: s.o.Listed[listed].Num, Gaps: []Gap{{Err: errIdentity}},
		})
	}
	switch {
	case listed >= 0 && (!g.sound || h.uid == s.o.Listed[listed].UID):
		g.Segment, g.listed = s.o.Listed[listed], true
		if herr != nil {
			g.remains.Gaps = append(g.remains.Gaps, Gap{Offset: 0, Bytes: headerSize, Err: herr})
		}
	case !s.o.Unlisted:
		return g, nil
	case g.sound:
		g.Segment = Segment{Num: h.num, UID: h.uid, Bytes: h.bytes, Key: h.keyID}
	default:
		bad := Gap{Offset: 0, Bytes: headerSize, Err: herr}
		if g.Segment = s.guess(p); g.Num != 0 {
			g.guessed = true
		} else {
			bad.Bytes = g.remains.Bytes // nobody can tell what it was
		}
		if g.guessed || slices.ContainsFunc(p, func(b byte) bool { return b != 0 }) {
			g.remains.Gaps = append(g.remains.Gaps, bad)
		}
	}
	g.Slot, g.store = slot, h.store
	g.missing = max(g.Bytes-g.remains.Bytes, 0)
	if g.guessed {
		g.missing = 0 // its length is not known
	}
	g.Bytes = min(g.Bytes, g.remains.Bytes, maxSegmentBytes)
	if g.Bytes < minSegmentBytes {
		if g.listed {
			g.remains.Segment, g.remains.Gaps = g.Num, []Gap{{Err: errLength}}
		}
		g.Num = 0
		return g, nil
	}
	if g.Num != 0 {
		s.begin(&g, h.keyID, p)
	}
	return g, nil
}

// begin finds out how a segment that begins with p is read, and what it links to. key is the
// data key that a sound header names.
func (s *salvager) begin(g *salvagedSegment, key seal.KeyID, p []byte) {
	planted := !g.listed && g.Key == 0 && s.o.OpenCipher != nil
	unwanted := !g.listed && g.Num < s.o.Min // its key may have been retired since
	if planted && unwanted {
		g.Num = 0
		return
	}
	if planted || g.sound && key != g.Key { // of a segment in clear what is sealed would be read as it is
		g.unreadable(seal.ErrAuth)
		return
	}
	var err error
	if g.open, err = s.opener(g, p); err != nil && unwanted {
		g.Num = 0
		return
	}
	if err != nil {
		g.unreadable(err)
		return
	}
	s.scan.reset(nil, g.Segment, g.open)
	g.link, g.linked = s.firstLink(p, g.Segment)
}

// unreadable gives a segment up that holds records which nobody can open.
func (g *salvagedSegment) unreadable(err error) {
	g.remains.Segment = g.Num
	g.remains.Gaps = append(g.remains.Gaps, Gap{Offset: headerSize, Bytes: g.Bytes - headerSize, Err: err})
	g.Num = 0
}

// guess takes what a damaged header says of its segment for true if the first record, whose
// checksum is seeded with it, agrees.
func (s *salvager) guess(p []byte) Segment {
	le := func(at int) (v uint64) {
		for i := range 8 {
			v |= uint64(p[at+i]) << (8 * i)
		}
		return v
	}
	h := header{uid: fileid.UID(p[32:48]), num: SegmentNum(le(48)), salt: seal.Salt(p[64:96]), keyID: seal.KeyID(le(96))}
	seg := Segment{Num: h.num, UID: h.uid, Bytes: maxSegmentBytes, Key: h.keyID}
	open, err := newOpener(s.o.OpenCipher, &h, p)
	if seg.Num == 0 || err != nil {
		return Segment{}
	}
	s.scan.reset(nil, seg, open)
	if _, ok := s.firstLink(p, seg); !ok {
		return Segment{}
	}
	return seg
}

// firstLink decodes the link record of a segment whose first bytes are p.
func (s *salvager) firstLink(p []byte, seg Segment) (Link, bool) {
	rec, ok := parseRecord(p[headerSize:], &s.scan.sums, seg.Num, headerSize, seg.Bytes)
	if !ok || !rec.mayBeLink() {
		return Link{}, false
	}
	body, ok, err := s.scan.unseal(headerSize, p[headerSize:][:recordHeaderSize+rec.payloadLen], &rec)
	if err != nil || !ok {
		return Link{}, false
	}
	link, err := decodeLink(body)
	return link, err == nil
}

// segment delivers the batches of segment i.
func (s *salvager) segment(i int) error {
	g := &s.segments[i]
	f, err := s.o.FS.Open(slotPath(s.o.Dir, g.Slot), vfs.ReadOnly)
	if err != nil {
		return fmt.Errorf("wal: open slot: %w", err)
	}
	defer f.Close()
	if i > 0 && s.segments[i-1].Num+1 != g.Num {
		s.open.active = false // what a batch went on with is missing
	}
	s.scan.reset(f, g.Segment, g.open)
	end := g.Bytes
	// Killed by TestSalvageStopsWhereALaterSegmentWentOn.
	if g.limit != 0 && !(mutant.Enabled && mutant.Is(mutant.SalvageBehindCut)) {
		end = min(end, g.limit)
	}
	off := int64(headerSize)
	for off < end {
		rec, payload, at, err := s.nextRecord(off, end)
		if err != nil {
			return err
		}
		if payload == nil {
			if s.forged {
				s.gap(g, off, end-off, seal.ErrAuth)
			}
			break // nothing more: judgeTails says what that means
		}
		if at > off {
			cause := errChecksum
			if s.forged {
				cause = seal.ErrAuth
			}
			s.gap(g, off, at-off, cause)
		}
		s.forged = false
		if c := rec.claim(g.Num); s.claimed.less(c) {
			s.claimed = c
		}
		size := recordSize(int64(rec.payloadLen))
		if err := s.record(i, at, &rec, payload); err != nil {
			return err
		}
		off = at + size
	}
	g.end = off
	return nil
}

// nextRecord finds the next whole record from off on. A nil payload says that there is none.
func (s *salvager) nextRecord(off, end int64) (rec record, payload []byte, at int64, err error) {
	for ; off+recordHeaderSize <= end; off += recordAlign {
		if off%(1<<20) == 0 {
			if err := s.ctx.Err(); err != nil {
				return rec, nil, off, fmt.Errorf("wal: salvage: %w", err)
			}
		}
		rec, payload, err := s.whole(off, end)
		if err != nil { // read again what is needed alone, or pass over the page
			s.scan.valid, s.scan.ahead = 0, int64(len(zeroPage))
			if rec, payload, err = s.whole(off, end); err != nil {
				off = (off+int64(len(zeroPage)))&^(int64(len(zeroPage))-1) - recordAlign
				s.scan.valid = 0
			}
		}
		if payload != nil {
			return rec, payload, off, nil
		}
	}
	return rec, nil, end, nil
}

// whole returns the record at off if a whole one is there. The error is of the file.
func (s *salvager) whole(off, end int64) (record, []byte, error) {
	rec, ok, err := s.scan.header(off)
	if err != nil || !ok || off+recordSize(int64(rec.payloadLen)) > end {
		return rec, nil, err
	}
	payload, ok, err := s.scan.payload(off, &rec)
	if errors.Is(err, seal.ErrAuth) {
		s.forged = true
		return rec, nil, nil
	}
	if err != nil || !ok {
		return rec, nil, err
	}
	return rec, payload, nil
}

// record handles one whole record.
func (s *salvager) record(i int, off int64, rec *record, payload []byte) error {
	g := &s.segments[i]
	size := recordSize(int64(rec.payloadLen))
	if rec.kind != typeBatch {
		if rec.kind > typeClose {
			s.gap(g, off, size, ErrTooNew)
		}
		return nil
	}
	if rec.count == 0 || rec.last() > keys.MaxSeqNum {
		s.gap(g, off, size, errSequence)
		return nil
	}
	b := &s.open
	switch rec.fragment {
	case fragFull:
		b.active = false
		g.remains.Batches++
		return s.deliver(i, off, rec, payload)
	case fragFirst:
		s.open = openBatch{active: true, index: i, off: off, head: *rec, payload: append(b.payload[:0], payload...)}
		return nil
	}
	if !b.active || rec.first != b.head.first || rec.count != b.head.count || rec.time != b.head.time {
		b.active = false
		if i > 0 || s.o.Min == 0 { // else its beginning is in a segment that is gone, and in tables
			s.gap(g, off, size, errFragment)
		}
		return nil
	}
	b.payload = append(b.payload, payload...)
	if rec.fragment == fragMiddle {
		return nil
	}
	b.active = false
	s.segments[b.index].remains.Batches++
	return s.deliver(b.index, b.off, &b.head, b.payload)
}

func (s *salvager) deliver(i int, off int64, rec *record, payload []byte) error {
	g := &s.segments[i]
	return s.fn(Record{
		Segment: g.Num, Slot: g.Slot, Offset: off, FirstSeqNum: rec.first, Count: rec.count, CommitTime: rec.time, Payload: payload,
	})
}

// gap lists what could not be read, and drops the batch that it may be a part of.
func (s *salvager) gap(g *salvagedSegment, off, n int64, err error) {
	s.open.active = false
	g.remains.Gaps = append(g.remains.Gaps, Gap{Offset: off, Bytes: n, Err: err})
}

// judgeTails lists the ends of segments behind which records are known to have been.
func (s *salvager) judgeTails() {
	for i := range s.segments {
		g := &s.segments[i]
		end := g.limit
		if s.claimed.Segment == g.Num {
			end = max(end, s.claimed.Offset)
		}
		if g.missing > 0 && end <= g.Bytes && g.limit == 0 {
			end = g.Bytes + g.missing // who knows what was there
		}
		if !g.sound && g.end == headerSize {
			end = g.Bytes // neither header nor record: whatever it held is gone
		}
		if g.end < end {
			g.remains.Gaps = append(g.remains.Gaps, Gap{Offset: g.end, Bytes: end - g.end, Err: errHole})
		}
	}
}
