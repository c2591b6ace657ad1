package audit_test

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/loamdb/loam/access"
	"github.com/loamdb/loam/access/audit"
	"github.com/loamdb/loam/internal/golden"
	"github.com/loamdb/loam/scope"
)

var (
	background = context.Background()
	noon       = time.Date(2024, 5, 1, 12, 0, 0, 0, time.UTC)
	secret     = []byte("key of the chain")
)

// ticking returns a clock that goes on by a second with each look.
func ticking() func() time.Time {
	var mu sync.Mutex
	at := noon
	return func() time.Time {
		mu.Lock()
		defer mu.Unlock()
		at = at.Add(time.Second)
		return at
	}
}

func open(t testing.TB, s audit.Store, change func(*audit.Options)) *audit.Log {
	t.Helper()
	o := audit.Options{Now: ticking(), Key: secret, SegmentRecords: 4}
	if change != nil {
		change(&o)
	}
	l, err := audit.Open(background, s, o)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, l.Close(background)) })
	return l
}

// record returns one of a few kinds of records.
func record(n int) audit.Record {
	r := access.Request{Principal: "alice", Op: access.OpGet, Scope: scope.Agent("a1"), Key: fmt.Sprint("k", n)}
	if n%2 == 1 {
		r.Principal, r.Scope = "bob", scope.User("u")
	}
	rec := audit.Of(r, access.Decision{Allowed: n%3 == 0, Rule: access.RuleID(n), Version: 7})
	rec.Correlation = fmt.Sprint("request-", n)
	return rec
}

func fill(t testing.TB, l *audit.Log, n int) {
	t.Helper()
	for i := range n {
		require.NoError(t, l.Write(background, record(i)))
	}
}

func all(t testing.TB, l *audit.Log, q audit.Query) []audit.Record {
	t.Helper()
	var out []audit.Record
	for r, err := range l.Query(background, q) {
		require.NoError(t, err)
		out = append(out, r)
	}
	return out
}

// B63: who, what, when, why, never the value.
func TestARecordHasNoPlaceForAValue(t *testing.T) {
	for f := range reflect.TypeFor[audit.Record]().Fields() {
		switch f.Type.Kind() {
		case reflect.Interface, reflect.Slice, reflect.Map, reflect.Pointer:
			t.Errorf("%s could hold a value", f.Name)
		}
	}
	require.False(t, reflect.ValueOf(audit.Record{}).FieldByName("Value").IsValid())
}

func TestRecordsAreFoundByWhatTheySay(t *testing.T) {
	l := open(t, &audit.Memory{}, nil)
	fill(t, l, 12)
	require.Len(t, all(t, l, audit.Query{}), 12)
	for i, r := range all(t, l, audit.Query{}) {
		want := record(i)
		want.Seq, want.Time = uint64(i+1), noon.Add(time.Duration(i+1)*time.Second)
		require.Equal(t, want, r)
	}
	numbers := func(q audit.Query) (out []uint64) {
		for _, r := range all(t, l, q) {
			out = append(out, r.Seq)
		}
		return out
	}
	require.Equal(t, []uint64{2, 4, 6, 8, 10, 12}, numbers(audit.Query{Principal: "bob"}))
	require.Equal(t, []uint64{1, 3, 5, 7, 9, 11}, numbers(audit.Query{Scope: scope.Agent("a1")}))
	require.Equal(t, []uint64{1, 4, 7, 10}, numbers(audit.Query{Verdict: audit.OnlyAllowed}))
	require.Equal(t, []uint64{2, 6, 8, 12}, numbers(audit.Query{Principal: "bob", Verdict: audit.OnlyDenied}))
	require.Equal(t, []uint64{5, 6}, numbers(audit.Query{From: noon.Add(5 * time.Second), To: noon.Add(7 * time.Second)}))
	require.Empty(t, numbers(audit.Query{Principal: "carol"}))
}

// gate is a store whose writes wait, or fail.
type gate struct {
	audit.Memory
	mu   sync.Mutex
	err  error
	hold chan struct{}
	n    int // writes that have begun
}

func (g *gate) Apply(ctx context.Context, writes []audit.Entry, deletes [][]byte) error {
	g.mu.Lock()
	hold, err := g.hold, g.err
	g.n++
	g.mu.Unlock()
	if hold != nil {
		select {
		case <-hold:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	if err != nil {
		return err
	}
	return g.Memory.Apply(ctx, writes, deletes)
}

func (g *gate) set(err error, hold chan struct{}) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.err, g.hold = err, hold
}

func (g *gate) begun() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.n
}

func TestAFullQueueDropsAndTells(t *testing.T) {
	g := &gate{}
	hold := make(chan struct{})
	g.set(nil, hold)
	l := open(t, g, func(o *audit.Options) { o.QueueLen = 3 })
	release := sync.OnceFunc(func() { close(hold) })
	t.Cleanup(release) // before l is closed, which waits for it
	require.NoError(t, l.Note(background, record(0)))
	require.Eventually(t, func() bool { return g.begun() == 1 }, 10*time.Second, time.Millisecond)
	for i := range 10 {
		r := record(i + 1)
		r.Allowed = true
		require.NoError(t, l.Note(background, r), "a read is not held up")
	}
	require.Equal(t, audit.Metrics{Dropped: 7}, l.Metrics())
	ended, end := context.WithCancel(background)
	end()
	denied := record(1)
	require.ErrorIs(t, l.Note(ended, denied), context.Canceled, "a denial waits") // B63
	done := make(chan error)
	go func() { done <- l.Note(background, denied) }()
	release()
	require.NoError(t, <-done)
	require.NoError(t, l.Flush(background))
	require.Equal(t, audit.Metrics{Written: 5, Dropped: 7}, l.Metrics())
	dropped, denials := uint64(0), 0
	for _, r := range all(t, l, audit.Query{}) {
		if dropped += r.Dropped; !r.Allowed {
			denials++
		}
	}
	require.Equal(t, 1, denials)
	report, err := l.Verify(background)
	require.NoError(t, err)
	require.EqualValues(t, 7, dropped)
	require.EqualValues(t, 7, report.Dropped)
}

func TestAFailingStoreFailsWhoWaitsAlone(t *testing.T) {
	g := &gate{}
	l := open(t, g, nil)
	fill(t, l, 2)
	broken := errors.New("no space")
	g.set(broken, nil)
	require.ErrorIs(t, l.Write(background, record(2)), broken)
	require.NoError(t, l.Note(background, record(3)))
	require.NoError(t, l.Flush(background))
	g.set(nil, nil)
	fill(t, l, 1)
	got := all(t, l, audit.Query{})
	require.Len(t, got, 3)
	require.EqualValues(t, 2, got[2].Dropped)
	require.Equal(t, audit.Metrics{Written: 3, Dropped: 2}, l.Metrics())
	_, err := l.Verify(background)
	require.NoError(t, err)

	required := open(t, &gate{err: broken}, func(o *audit.Options) { o.Required = true })
	require.ErrorIs(t, required.Note(background, record(0)), broken)
}

func TestWhatCannotBeRecordedIsRefused(t *testing.T) {
	l := open(t, &audit.Memory{}, nil)
	for name, spoil := range map[string]func(*audit.Record){
		"operation":   func(r *audit.Record) { r.Op = 0 },
		"scope":       func(r *audit.Record) { r.Scope = scope.Agent("") },
		"principal":   func(r *audit.Record) { r.Principal = access.Principal(strings.Repeat("a", 129)) },
		"correlation": func(r *audit.Record) { r.Correlation = strings.Repeat("a", 129) },
		"key":         func(r *audit.Record) { r.Key = strings.Repeat("a", 257) },
	} {
		r := record(0)
		spoil(&r)
		require.ErrorIs(t, l.Write(background, r), audit.ErrInvalid, name)
		require.ErrorIs(t, l.Note(background, r), audit.ErrInvalid, name)
	}
	for _, o := range []audit.Options{{}, {Now: ticking(), QueueLen: -1}, {Now: ticking(), SegmentRecords: -1}} {
		_, err := audit.Open(background, &audit.Memory{}, o)
		require.ErrorIs(t, err, audit.ErrInvalid)
	}
	_, err := l.Retain(background, audit.Retention{MaxRecords: -1})
	require.ErrorIs(t, err, audit.ErrInvalid)
}

func TestAClosedLogHasWrittenEverything(t *testing.T) {
	store := &audit.Memory{}
	l := open(t, store, nil)
	for i := range 600 {
		require.NoError(t, l.Note(background, record(i)))
	}
	require.NoError(t, l.Close(background))
	require.NoError(t, l.Close(background))
	require.ErrorIs(t, l.Note(background, record(0)), audit.ErrClosed)
	require.ErrorIs(t, l.Write(background, record(0)), audit.ErrClosed)
	require.ErrorIs(t, l.Flush(background), audit.ErrClosed)
	again := open(t, store, func(o *audit.Options) { o.SegmentRecords = 100 })
	fill(t, again, 1)
	report, err := again.Verify(background)
	require.NoError(t, err)
	require.EqualValues(t, 601, report.Records)
	require.Equal(t, again.Head(), report.Head)
}

func TestCloseGivesUpWithItsContext(t *testing.T) {
	g := &gate{hold: make(chan struct{})}
	l, err := audit.Open(background, g, audit.Options{Now: ticking()})
	require.NoError(t, err)
	require.NoError(t, l.Note(background, record(0)))
	ctx, cancel := context.WithCancel(background)
	cancel()
	require.ErrorIs(t, l.Write(ctx, record(1)), context.Canceled)
	require.ErrorIs(t, l.Close(ctx), context.Canceled)
	require.Equal(t, audit.Metrics{Dropped: 1}, l.Metrics())
}

func TestManyRecordAtOnce(t *testing.T) {
	l := open(t, &audit.Memory{}, nil)
	var group sync.WaitGroup
	for i := range 8 {
		group.Go(func() {
			for n := range 50 {
				if i%2 == 0 {
					if err := l.Write(background, record(n)); err != nil {
						t.Error(err)
					}
				} else if err := l.Note(background, record(n)); err != nil {
					t.Error(err)
				}
				if n%10 == 0 {
					if _, err := l.Verify(background); err != nil {
						t.Error(err)
					}
					if _, err := l.Retain(background, audit.Retention{MaxRecords: 100}); err != nil {
						t.Error(err)
					}
				}
			}
		})
	}
	group.Wait()
	require.NoError(t, l.Flush(background))
	report, err := l.Verify(background)
	require.NoError(t, err)
	require.EqualValues(t, 400, report.Head.Seq)
	require.EqualValues(t, 400, l.Metrics().Written)
}

// samples are records of every shape.
func samples() []audit.Record {
	full := audit.Record{
		Time: time.Unix(1_700_000_000, 123_456_789).UTC(), Principal: "alice", Op: access.OpScan, Scope: scope.Step("w", "s"),
		Key: "plan:", Allowed: true, Rule: 300, Policy: 9, Sensitive: true, Keys: 1000, Correlation: "request-1", Dropped: 5,
	}
	return []audit.Record{full, {Time: time.Unix(-1, 0).UTC(), Op: access.OpRules}}
}

func TestRecordsEncodeAsTheirPageSays(t *testing.T) {
	var out bytes.Buffer
	for _, r := range samples() {
		p, err := audit.Encode(nil, &r)
		require.NoError(t, err)
		fmt.Fprintf(&out, "%x\n", p)
		got, err := audit.Decode(p)
		require.NoError(t, err)
		require.Equal(t, r, got)
		for n := range p {
			_, err := audit.Decode(p[:n])
			require.ErrorIs(t, err, audit.ErrMalformed, "%d bytes", n)
		}
		_, err = audit.Decode(append(p, 0))
		require.ErrorIs(t, err, audit.ErrMalformed)
		p[0] = 2
		_, err = audit.Decode(p)
		require.ErrorIs(t, err, audit.ErrTooNew)
		p[0], p[1] = 1, 4
		_, err = audit.Decode(p)
		require.ErrorIs(t, err, audit.ErrMalformed)
	}
	m := &audit.Memory{}
	l := open(t, m, nil)
	fill(t, l, 9)
	n, err := l.Retain(background, audit.Retention{MaxRecords: 2})
	require.NoError(t, err)
	require.Equal(t, 4, n)
	for e, err := range m.Scan(background, nil, []byte{0xFF}) {
		require.NoError(t, err)
		fmt.Fprintf(&out, "%s %s\n", hex.EncodeToString(e.Key), hex.EncodeToString(e.Value))
	}
	golden.Assert(t, "testdata/records.txt", out.Bytes())
}

// Whatever is accepted encodes to the same bytes.
func FuzzDecode(f *testing.F) {
	for _, r := range samples() {
		p, err := audit.Encode(nil, &r)
		require.NoError(f, err)
		f.Add(p)
	}
	f.Fuzz(func(t *testing.T, p []byte) {
		r, err := audit.Decode(p)
		if err != nil {
			if !errors.Is(err, audit.ErrMalformed) && !errors.Is(err, audit.ErrTooNew) {
				t.Fatal(err)
			}
			return
		}
		again, err := audit.Encode(nil, &r)
		require.NoError(t, err)
		require.Equal(t, p, again)
	})
}
