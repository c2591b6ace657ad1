package wal

import (
	"encoding/binary"
	"fmt"
	"math"

	"github.com/loamdb/loam/internal/codec"
	"github.com/loamdb/loam/internal/invariants"
	"github.com/loamdb/loam/internal/keys"
	"github.com/loamdb/loam/internal/seal"
)

// Batch is one batch to append. The log does not keep Payload.
type Batch struct {
	// Payload, with Tail, is at most MaxBatchBytes long.
	Payload []byte
	// Tail, if any, is the end of the payload: a long value that its writer keeps, so that
	// nobody has to copy it behind Payload, which is then at most MaxHeadBytes long.
	Tail []byte
	// PayloadCRC is PayloadChecksum(Payload), extended by Tail, computed by the committer
	// before it entered any queue. A log that seals sums up what it stores, and does not look at it.
	PayloadCRC uint32
	// FirstSeqNum and Count number its operations: at least one, above every earlier one.
	FirstSeqNum keys.SeqNum
	Count       uint32
	// CommitTime is in milliseconds since 1970.
	CommitTime uint64
}

// MaxBatchBytes limits a batch's payload: 4 GiB.
const MaxBatchBytes int64 = 4 << 30

// MaxHeadBytes limits the payload of a batch that has a tail.
const MaxHeadBytes = 256

// PayloadChecksum returns the checksum of a payload.
func PayloadChecksum(p []byte) uint32 { return codec.Checksum(0, p) }

// ExtendChecksum returns the checksum of a payload of which sum is the checksum, with more
// behind it.
func ExtendChecksum(sum uint32, more []byte) uint32 { return codec.Checksum(sum, more) }

// Seals reports whether the log seals what it writes.
func (l *Log) Seals() bool { return l.overhead > 0 }

// Intent says what the callers behind a group will wait for.
type Intent uint8

// Intents.
const (
	// NoSync: nobody waits. The group survives the process when Append returns.
	NoSync Intent = iota
	// WillSync: the caller goes on to Sync.
	WillSync
	// TrySync: as WillSync, and if everything before the group is durable and nobody else is
	// expected, the write itself makes it durable and Sync then returns at once. Append takes as long as the
	// device does, so this suits a leader that has nobody else to serve.
	TrySync
)

// way is how a group reaches the file.
type way uint8

const (
	byStore way = iota
	byWrite
	byDSync
)

// Sizes of the write path, in bytes.
const (
	// Groups are put together in a buffer of this size, and larger payloads go to the
	// file without it. One store or write for a small group costs less than one per
	// record, the copy included.
	bufferBytes = 256 << 10
	// A batch is split only if at least this much of its payload fits into what is left
	// of a segment: splitting costs a copy at recovery.
	minFragment = 512
	// What a batch that goes on in another segment may cost beyond its own size: another
	// header, rounding, and a rest too short to split into.
	crossing = 2*(recordHeaderSize+seal.Overhead) + minFragment + MaxHeadBytes + 2*recordAlign
)

// Append writes the batches in order, as one group, and returns the position after
// them. When it returns nil they survive the end of the process; they are durable when
// Sync of that position returns nil. One goroutine at a time calls it.
//
// An error that matches ErrUnready or ErrInvalid says that nothing was written and the
// log is as before; Reserve meets ErrUnready earlier. After any other error it is
// unknown what reached the file, and the log takes nothing more.
func (l *Log) Append(batches []Batch, intent Intent) (Position, error) {
	if err := l.Err(); err != nil {
		return Position{}, err
	}
	need, err := l.check(batches)
	if err != nil {
		return Position{}, err
	}
	if need > l.room() {
		if err := l.ensure(need); err != nil {
			return Position{}, err
		}
	}
	if intent == TrySync && !l.gather.alone() {
		intent = WillSync
	}
	l.begin(intent)
	for i := range batches {
		if err := l.put(&batches[i]); err != nil {
			return Position{}, err
		}
	}
	end, err := l.commit()
	if err == nil && intent != NoSync && !l.synced {
		l.gather.pending.Add(int64(len(batches)))
	}
	return end, err
}

// check validates a group and returns the bytes that its records take unsplit.
func (l *Log) check(batches []Batch) (int64, error) {
	last, need := l.lastSeq, int64(0)
	for i := range batches {
		b := &batches[i]
		end := b.FirstSeqNum + keys.SeqNum(b.Count) - 1
		if b.FirstSeqNum <= last || b.Count == 0 || end > keys.MaxSeqNum || b.bytes() > MaxBatchBytes ||
			len(b.Tail) > 0 && len(b.Payload) > MaxHeadBytes {
			return 0, fmt.Errorf("%w: batch %d: numbers from %d, count %d, after %d, %d bytes",
				ErrInvalid, i, b.FirstSeqNum, b.Count, last, b.bytes())
		}
		if invariants.Enabled && l.o.NewCipher == nil && ExtendChecksum(PayloadChecksum(b.Payload), b.Tail) != b.PayloadCRC {
			panic("wal: a payload changed after its checksum was taken")
		}
		last = end
		need += recordSize(b.bytes()+l.overhead) + l.splitting(b.bytes())
	}
	return need, nil
}

// splitting is what the headers of further records take where n bytes of payload are more than
// one takes.
func (l *Log) splitting(n int64) int64 {
	if n <= l.most {
		return 0
	}
	return n / l.most * (recordHeaderSize + l.overhead + recordAlign)
}

// bytes is the length of the whole payload.
func (b *Batch) bytes() int64 { return int64(len(b.Payload)) + int64(len(b.Tail)) }

// room is how many bytes of records the current segment still takes.
func (l *Log) room() int64 {
	if l.off == headerSize {
		return freshRoom(l.cur)
	}
	return l.cur.limit - l.off
}

// freshRoom is how many bytes of records an unused segment takes beside its link.
func freshRoom(s *segment) int64 { return s.limit - headerSize - recordSize(linkSize+s.overhead()) }

// begin decides how the group is written and what its records claim.
func (l *Log) begin(intent Intent) {
	durable := l.durable.Load()
	l.synced = false
	switch {
	case intent == NoSync && l.mapped:
		l.way = byStore
	case intent == TrySync && durable == l.end.Load():
		l.way, l.synced = byDSync, true
	default:
		l.way = byWrite
	}
	if durable != l.claimAt {
		l.claimAt, l.claim = durable, l.position(durable)
	}
}

// wakePreparer asks for a spare if the segment fills, and for a sync of what rotate
// left behind, which it can only do once the group that rotated is committed.
func (l *Log) wakePreparer() {
	l.mu.Lock()
	if l.off >= l.trigger.Load() || l.rotated { // who has filled one segment will fill another
		l.trigger.Store(math.MaxInt64)
		l.mu.ahead = true
	}
	l.rotated = false
	l.wake.Broadcast()
	l.mu.Unlock()
}

// commit writes what is buffered, and makes the group part of the log (W5).
func (l *Log) commit() (Position, error) {
	if err := l.flush(); err != nil {
		return Position{}, err
	}
	end := l.cur.base + uint64(l.off)
	l.end.Store(end)
	if l.synced {
		// The group began exactly at durable, and every byte of it went through O_DSYNC (W3).
		l.advance(end)
	}
	if l.off >= l.trigger.Load() || l.rotated {
		l.wakePreparer()
	}
	return Position{Segment: l.cur.Num, Offset: l.off, stream: end}, nil
}

// put appends one batch, split over segments if it must be.
func (l *Log) put(b *Batch) error {
	rec := record{kind: typeBatch, fragment: fragFull, payloadCRC: b.PayloadCRC, count: b.Count, first: b.FirstSeqNum, time: b.CommitTime}
	head, rest := b.Payload, b.Tail
	if len(rest) == 0 {
		head, rest = nil, head
	}
	if recordSize(b.bytes()+l.overhead) <= l.room() && b.bytes() <= l.most {
		if err := l.emit(&rec, head, rest); err != nil {
			return err
		}
		l.lastSeq = rec.last()
		return nil
	}
	rec.fragment = fragFirst
	for {
		n := min(int64(len(rest)), min(l.room()-recordHeaderSize-l.overhead, l.most)-int64(len(head)))
		if n < min(int64(len(rest)), minFragment) {
			if err := l.rotate(); err != nil {
				return err
			}
			continue
		}
		switch {
		case n < int64(len(rest)):
			rec.payloadCRC = l.checksum(head, rest[:n])
		case rec.fragment == fragFirst: // it was only moved away from a short rest
			rec.fragment, rec.payloadCRC = fragFull, b.PayloadCRC
		default:
			rec.fragment, rec.payloadCRC = fragLast, l.checksum(nil, rest)
		}
		if err := l.emit(&rec, head, rest[:n]); err != nil {
			return err
		}
		head = nil
		if rest = rest[n:]; rec.fragment == fragLast || rec.fragment == fragFull {
			l.lastSeq = rec.last()
			return nil
		}
		rec.fragment = fragMiddle
	}
}

// checksum returns the checksum of a payload in two parts, in clear. Where records are sealed
// it is not that of what is stored, and nobody asks for it.
func (l *Log) checksum(head, payload []byte) uint32 {
	if l.overhead > 0 {
		return 0
	}
	return codec.Checksum(codec.Checksum(0, head), payload)
}

// emit appends one record, of a payload in two parts, which fits into the current segment;
// the segment's link record first if it has none.
func (l *Log) emit(rec *record, head, payload []byte) error {
	if l.off == headerSize {
		if err := l.emitLink(); err != nil {
			return err
		}
	}
	return l.frame(rec, head, payload)
}

func (l *Log) emitLink() error {
	payload := appendLink(make([]byte, 0, linkSize), l.cur.prev)
	return l.frame(&record{kind: typeLink, fragment: fragFull, payloadCRC: codec.Checksum(0, payload)}, nil, payload)
}

// frame puts one record into the buffer, or past it when it is large.
func (l *Log) frame(rec *record, head, payload []byte) error {
	if l.cur.sealer != nil {
		return l.frameSealed(rec, head, payload)
	}
	rec.payloadLen = uint32(len(head) + len(payload))
	rec.setClaim(l.cur.Num, l.claim)
	size := int(recordSize(int64(len(head)) + int64(len(payload))))
	if size > cap(l.buf)-len(l.buf) {
		if err := l.makeRoom(size); err != nil {
			return err
		}
	}
	n := len(l.buf)
	if size > cap(l.buf)-n {
		l.buf = l.buf[:n+recordHeaderSize]
		rec.put(l.buf[n:], &l.cur.sums, l.off)
		l.buf = append(l.buf, head...)
		l.off += int64(size)
		return l.frameLarge(payload)
	}
	l.buf = l.buf[:n+size]
	p := l.buf[n:]
	rec.put(p, &l.cur.sums, l.off)
	at := recordHeaderSize + copy(p[recordHeaderSize:], head)
	clear(p[at+copy(p[at:], payload):])
	l.off += int64(size)
	return nil
}

// frameSealed puts one record into the buffer, its payload sealed. What is in clear reaches
// neither file nor mapping, since nothing is written after an error here.
func (l *Log) frameSealed(rec *record, head, payload []byte) error {
	n := len(head) + len(payload)
	rec.payloadLen = uint32(n + seal.Overhead)
	rec.setClaim(l.cur.Num, l.claim)
	size := int(recordSize(int64(rec.payloadLen)))
	if size > cap(l.buf)-len(l.buf) {
		if err := l.makeRoom(size); err != nil {
			return err
		}
	}
	at := len(l.buf)
	l.buf = l.buf[:at+size]
	p := l.buf[at:]
	rec.putFields(p)
	body := p[recordHeaderSize:]
	if len(head) > 0 {
		copy(body[copy(body, head):], payload)
		payload = body[:n]
	}
	stored, err := l.cur.sealer.Seal(body[:0], payload, placeOf(l.off, p, l.cur.bound))
	if err != nil {
		return l.fail("seal", l.cur, err)
	}
	clear(body[len(stored):])
	rec.payloadCRC = codec.Checksum(0, stored)
	rec.put(p, &l.cur.sums, l.off)
	l.off += int64(size)
	return nil
}

// makeRoom makes the buffer large enough for size bytes, or empty if that is too much.
func (l *Log) makeRoom(size int) error {
	if need := len(l.buf) + size; need <= bufferBytes {
		grown := make([]byte, len(l.buf), min(bufferBytes, max(4<<10, 2*need)))
		copy(grown, l.buf)
		l.buf = grown
		return nil
	}
	if cap(l.buf) < bufferBytes {
		grown := make([]byte, len(l.buf), bufferBytes)
		copy(grown, l.buf)
		l.buf = grown
	}
	return l.flush()
}

// frameLarge writes the buffered header, then the payload without copying it, and
// leaves its odd end in the buffer.
func (l *Log) frameLarge(payload []byte) error {
	if err := l.flush(); err != nil {
		return err
	}
	whole := len(payload) - int((l.bufOff+int64(len(payload)))&(recordAlign-1))
	if err := l.write(payload[:whole], l.bufOff); err != nil {
		return err
	}
	l.bufOff += int64(whole)
	if odd := payload[whole:]; len(odd) > 0 {
		l.buf = l.buf[:recordAlign]
		clear(l.buf[copy(l.buf, odd):])
	}
	return nil
}

// flush writes the buffer.
func (l *Log) flush() error {
	if len(l.buf) == 0 {
		return nil
	}
	err := l.write(l.buf, l.bufOff)
	l.bufOff += int64(len(l.buf))
	l.buf = l.buf[:0]
	return err
}

// write brings p to offset off of the current segment, the group's way.
func (l *Log) write(p []byte, off int64) error {
	var err error
	op := "write"
	switch {
	case l.way == byStore:
		op, err = "store", l.cur.mapped.Store(off, p)
	case l.way == byDSync && l.cur.dsync != nil:
		op = "synced write"
		_, err = l.cur.dsync.WriteAt(p, off)
		l.syncedWrites.Add(1)
	default:
		l.synced = false
		_, err = l.cur.file.WriteAt(p, off)
	}
	if err != nil {
		return l.fail(op, l.cur, err)
	}
	return nil
}

// rotate goes on to the next spare; ensure has seen to it that there is one. It does
// not sync the segment it leaves: the preparer does.
func (l *Log) rotate() error {
	if err := l.flush(); err != nil {
		return err
	}
	old := l.cur
	l.mu.Lock()
	if len(l.mu.spares) == 0 {
		l.mu.Unlock()
		return l.fail("rotate", old, ErrUnready)
	}
	next := l.mu.spares[0]
	l.mu.spares = append(l.mu.spares[:0], l.mu.spares[1:]...)
	old.length = l.off
	next.base = old.streamEnd() - headerSize
	next.prev = Link{Num: old.Num, UID: old.UID, Length: l.off, LastSeqNum: l.lastSeq}
	l.mu.segs = append(l.mu.segs, next)
	l.trigger.Store(triggerOf(next))
	l.mu.Unlock()
	l.cur, l.off, l.bufOff = next, headerSize, headerSize
	l.current.Store(uint64(next.Num))
	l.rotated = true
	return nil
}

// Mark writes a claim mark if there is something to claim that no record claims yet.
// Without one, damage to the last synced group of an idle log cannot be told from a
// torn tail. It is for the leader of a store that has fallen idle after a Sync: the
// mark is one small synced write.
func (l *Log) Mark() error {
	if err := l.Err(); err != nil {
		return err
	}
	durable := l.durable.Load()
	if durable == l.claimAt || durable == l.marked || durable <= headerSize || recordSize(l.overhead) > l.room() {
		return nil
	}
	l.begin(TrySync)
	if err := l.emit(&record{kind: typeMark, fragment: fragFull}, nil, nil); err != nil {
		return err
	}
	at, err := l.commit()
	if err != nil {
		return err
	}
	l.marked = at.stream
	return l.Sync(at)
}

// appendClose writes the close record, for which every segment keeps room.
func (l *Log) appendClose() error {
	l.begin(TrySync)
	l.mu.Lock()
	last := l.mu.next - 1
	l.mu.Unlock()
	payload := binary.LittleEndian.AppendUint64(nil, uint64(last))
	if err := l.emit(&record{kind: typeClose, fragment: fragFull, payloadCRC: codec.Checksum(0, payload)}, nil, payload); err != nil {
		return err
	}
	_, err := l.commit()
	return err
}
