package timeline_test

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/loamdb/loam/hook"
	"github.com/loamdb/loam/hook/timeline"
	"github.com/loamdb/loam/internal/golden"
	"github.com/loamdb/loam/scope"
)

var background = context.Background()

// texts is a codec of strings.
type texts struct{}

func (texts) Append(dst []byte, v any) ([]byte, error) {
	s, ok := v.(string)
	if !ok {
		return nil, errors.New("no text")
	}
	return append(dst, s...), nil
}

func (texts) Decode(p []byte) (any, error) {
	if bytes.HasPrefix(p, []byte("damaged")) {
		return nil, errors.New("damaged")
	}
	return string(p), nil
}

func newTimeline(t testing.TB, s timeline.Store) *timeline.Timeline {
	t.Helper()
	tl, err := timeline.New(s, timeline.Options{Codec: texts{}, RecordValues: true})
	require.NoError(t, err)
	return tl
}

func id(n int) hook.ID { return hook.ID{0: byte(n >> 8), 1: byte(n), 15: 1} }

func at(second int) time.Time { return time.Unix(int64(second), 0).UTC() }

func full() hook.Event {
	return hook.Event{
		ID: id(1), Time: time.Unix(1_700_000_000, 123_456_789).UTC(), SeqNum: 300, Op: hook.OpCopy,
		Scope: scope.Step("w", "s"), To: scope.Agent("a"), Key: "user:name", Version: 299,
		Actor: "alice", Correlation: "request-1", Cause: id(2),
		Values: &hook.Values{Old: "old", New: "new", HasOld: true, HasNew: true},
	}
}

// samples are events of every shape.
func samples() []hook.Event {
	least := hook.Event{ID: id(3), Time: at(-1), Op: hook.OpBackup}
	unset := hook.Event{ID: id(4), Time: at(2), Op: hook.OpDelete, Scope: scope.Global(), Key: "k", Values: &hook.Values{Old: "", HasOld: true}}
	none := hook.Event{ID: id(5), Time: at(3), Op: hook.OpExpire, Scope: scope.Global(), Key: "k", Values: &hook.Values{}}
	document := hook.Event{ID: id(6), Time: at(4), Op: hook.OpSet, Scope: scope.Global(), Key: "people/ada", Collection: "people"}
	return []hook.Event{full(), least, unset, none, document}
}

func TestEventsEncodeAsTheirPageSays(t *testing.T) {
	var out bytes.Buffer
	for _, ev := range samples() {
		p, err := timeline.Encode(nil, &ev, texts{})
		require.NoError(t, err)
		fmt.Fprintf(&out, "%x\n", p)
		got, err := timeline.Decode(p, texts{})
		require.NoError(t, err)
		require.Equal(t, ev, got)
		for n := range p { // every cut of it is refused
			_, err := timeline.Decode(p[:n], texts{})
			require.ErrorIs(t, err, timeline.ErrMalformed, "%d bytes", n)
		}
		_, err = timeline.Decode(append(p, 0), texts{})
		require.ErrorIs(t, err, timeline.ErrMalformed)
	}
	m := &timeline.Memory{}
	ev := full()
	require.NoError(t, newTimeline(t, m).Record(background, ev))
	for e, err := range m.Scan(background, nil, []byte{0xFF}) {
		require.NoError(t, err)
		fmt.Fprintf(&out, "%x\n", e.Key)
	}
	golden.Assert(t, "testdata/events.txt", out.Bytes())
}

func TestDamagedEventsAreRefused(t *testing.T) {
	ev := full()
	good, err := timeline.Encode(nil, &ev, texts{})
	require.NoError(t, err)
	spoil := func(at int, b byte) []byte {
		p := bytes.Clone(good)
		p[at] = b
		return p
	}
	_, err = timeline.Decode(spoil(0, 2), texts{})
	require.ErrorIs(t, err, timeline.ErrTooNew)
	for name, p := range map[string][]byte{
		"version":          spoil(0, 0),
		"operation":        spoil(1, 15),
		"flag":             spoil(2, 0xFF),
		"old, not values":  spoil(2, 0x0B),
		"fewer fields":     spoil(2, 0x01),
		"kind of scope":    spoil(31, 0),
		"zero byte in key": spoil(36, 0),
	} {
		_, err := timeline.Decode(p, texts{})
		require.ErrorIs(t, err, timeline.ErrMalformed, name)
	}
	_, err = timeline.Decode(good, nil)
	require.ErrorIs(t, err, timeline.ErrInvalid)
	ev.Values.Old = "damaged"
	p, err := timeline.Encode(nil, &ev, texts{})
	require.NoError(t, err)
	_, err = timeline.Decode(p, texts{})
	require.ErrorContains(t, err, "damaged")
}

func TestEventsThatCannotBeAreNotRecorded(t *testing.T) {
	m := &timeline.Memory{}
	tl := newTimeline(t, m)
	for name, spoil := range map[string]func(*hook.Event){
		"no id":         func(ev *hook.Event) { ev.ID = hook.ID{} },
		"no operation":  func(ev *hook.Event) { ev.Op = 0 },
		"no time":       func(ev *hook.Event) { ev.Time = time.Time{} },
		"scope":         func(ev *hook.Event) { ev.Scope = scope.Agent("") },
		"zero in key":   func(ev *hook.Event) { ev.Key = "a\x00b" },
		"long key":      func(ev *hook.Event) { ev.Key = string(make([]byte, 5000)) },
		"correlation":   func(ev *hook.Event) { ev.Correlation = "a\x00b" },
		"long actor":    func(ev *hook.Event) { ev.Actor = string(make([]byte, 129)) },
		"collection":    func(ev *hook.Event) { ev.Collection = "user" },
		"another scope": func(ev *hook.Event) { ev.To = scope.Tool("a\nb") },
	} {
		bad := full()
		spoil(&bad)
		require.ErrorIs(t, tl.Record(background, full(), bad), timeline.ErrInvalid, name)
	}
	ev := full()
	ev.Values.New = 1
	require.ErrorContains(t, tl.Record(background, ev), "no text")
	require.Zero(t, m.Len(), "all or none")
	_, err := timeline.New(m, timeline.Options{RecordValues: true})
	require.ErrorIs(t, err, timeline.ErrInvalid)
}

// Any bytes are refused or are the encoding of what they decode to (T2).
func FuzzDecode(f *testing.F) {
	for _, ev := range samples() {
		p, err := timeline.Encode(nil, &ev, texts{})
		require.NoError(f, err)
		f.Add(p)
	}
	f.Fuzz(func(t *testing.T, p []byte) {
		ev, err := timeline.Decode(p, texts{})
		if err != nil {
			return
		}
		again, err := timeline.Encode(nil, &ev, texts{})
		require.NoError(t, err)
		require.Equal(t, p, again)
	})
}

func collect(t testing.TB, seq iter.Seq2[hook.Event, error]) []hook.Event {
	t.Helper()
	var out []hook.Event
	for ev, err := range seq {
		require.NoError(t, err)
		out = append(out, ev)
	}
	return out
}

// Every query yields what a filter over all events yields, in order (B36, T3).
func TestQueriesYieldWhatAFilterDoes(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	scopes := []scope.Scope{{}, scope.Global(), scope.Agent("a"), scope.Agent("ab"), scope.Workflow("w"), scope.Step("w", "s")}
	keys := []string{"", "k", "kk", "k:1"}
	var events []hook.Event
	for i := range 120 {
		ev := hook.Event{
			ID: id(i + 1), Time: at(r.IntN(40) - 20), Op: hook.OpSet, Scope: scopes[r.IntN(len(scopes))],
			Key: keys[r.IntN(len(keys))], Correlation: []string{"", "c", "cc"}[r.IntN(3)],
		}
		if r.IntN(4) == 0 {
			ev.Op, ev.To = hook.OpCopy, scopes[r.IntN(len(scopes))]
		}
		if i > 0 && r.IntN(3) == 0 {
			ev.Cause = id(r.IntN(i) + 1)
		}
		events = append(events, ev)
	}
	m := &timeline.Memory{}
	tl := newTimeline(t, m)
	require.NoError(t, tl.Record(background, events...))
	require.NoError(t, tl.Record(background, events[:10]...), "once more")
	slices.SortFunc(events, func(a, b hook.Event) int {
		return cmp.Or(a.Time.Compare(b.Time), bytes.Compare(a.ID[:], b.ID[:]))
	})
	filter := func(keep func(hook.Event) bool) []hook.Event {
		var out []hook.Event
		for _, ev := range events {
			if keep(ev) {
				out = append(out, ev)
			}
		}
		return out
	}
	for _, rng := range []timeline.Range{{}, {From: at(-5)}, {To: at(5)}, {From: at(-10), To: at(10)}, {From: at(3), To: at(3)}, {From: at(5), To: at(3)}} {
		in := func(ev hook.Event) bool {
			return (rng.From.IsZero() || !ev.Time.Before(rng.From)) && (rng.To.IsZero() || ev.Time.Before(rng.To))
		}
		require.Equal(t, filter(in), collect(t, tl.ByTime(background, rng)))
		for _, c := range []string{"c", "cc", "none", events[0].CorrelationID()} {
			require.Equal(t, filter(func(ev hook.Event) bool { return in(ev) && ev.CorrelationID() == c }), collect(t, tl.ByCorrelation(background, c, rng)))
		}
		for _, s := range scopes {
			require.Equal(t, filter(func(ev hook.Event) bool {
				return in(ev) && (ev.Scope == s || ev.To == s && s != scope.Scope{})
			}), collect(t, tl.ByScope(background, s, rng)), "%v", s)
			for _, k := range keys[1:] {
				require.Equal(t, filter(func(ev hook.Event) bool { return in(ev) && ev.Scope == s && ev.Key == k }), collect(t, tl.ByKey(background, s, k, rng)))
			}
		}
	}
	for _, ev := range events {
		got, err := tl.Get(background, ev.ID)
		require.NoError(t, err)
		require.Equal(t, ev, got)
	}
	_, err := tl.Get(background, id(1000))
	require.ErrorIs(t, err, timeline.ErrNotFound)
	for _, seq := range []iter.Seq2[hook.Event, error]{
		tl.ByCorrelation(background, "a\x00", timeline.Range{}), tl.ByKey(background, scope.Global(), "\x00", timeline.Range{}),
		tl.ByTime(background, timeline.Range{From: time.Date(1, 1, 1, 0, 0, 0, 1, time.UTC)}),
	} {
		for _, err := range seq {
			require.ErrorIs(t, err, timeline.ErrInvalid)
		}
	}
}

func TestCausesAndEffects(t *testing.T) { // B36
	tl := newTimeline(t, &timeline.Memory{})
	// 1 set off 2 and 3, 2 set off 4; 5 is by itself, 6's cause is not recorded.
	cause := map[int]int{2: 1, 3: 1, 4: 2, 6: 99}
	for i := 1; i <= 6; i++ {
		ev := hook.Event{ID: id(i), Time: at(10 - i), Op: hook.OpSet, Scope: scope.Global(), Key: "k"}
		if c := cause[i]; c != 0 {
			ev.Cause = id(c)
		}
		require.NoError(t, tl.Record(background, ev))
	}
	ids := func(events []hook.Event) (out []int) {
		for _, ev := range events {
			out = append(out, int(ev.ID[1]))
		}
		return out
	}
	for n, want := range map[int][]int{1: nil, 2: {1}, 4: {2, 1}, 5: nil, 6: nil} {
		causes, err := tl.Causes(background, id(n))
		require.NoError(t, err)
		require.Equal(t, want, ids(causes), "causes of %d", n)
	}
	for n, want := range map[int][]int{1: {3, 2, 4}, 2: {4}, 4: nil, 99: {6}} {
		require.Equal(t, want, ids(collect(t, tl.Effects(background, id(n)))), "effects of %d", n)
	}
	_, err := tl.Causes(background, id(7))
	require.ErrorIs(t, err, timeline.ErrNotFound)

	// Events that claim to cause each other do not hold a query for ever.
	a := hook.Event{ID: id(20), Time: at(1), Op: hook.OpSet, Cause: id(21)}
	b := hook.Event{ID: id(21), Time: at(1), Op: hook.OpSet, Cause: id(20)}
	require.NoError(t, tl.Record(background, a, b))
	require.Equal(t, []int{21}, ids(collect(t, tl.Effects(background, id(20)))))
	causes, err := tl.Causes(background, id(20))
	require.NoError(t, err)
	require.Equal(t, []int{21}, ids(causes))
}

func TestRetentionRemovesTheOldestWithAllTheirEntries(t *testing.T) { // T1
	for _, c := range []struct {
		retention timeline.Retention
		left      int
	}{
		{timeline.Retention{}, 300},
		{timeline.Retention{Before: at(100)}, 200},
		{timeline.Retention{MaxEvents: 250}, 250},
		{timeline.Retention{MaxEvents: 10}, 10},
		{timeline.Retention{Before: at(280), MaxEvents: 250}, 20},
		{timeline.Retention{Before: at(200), MaxEvents: 50}, 50},
		{timeline.Retention{Before: at(10000)}, 0},
	} {
		m := &timeline.Memory{}
		tl := newTimeline(t, m)
		for i := range 300 {
			ev := full()
			ev.ID, ev.Time, ev.Cause = id(i+1), at(i), id(i)
			require.NoError(t, tl.Record(background, ev))
		}
		perEvent := m.Len() / 300
		removed, err := tl.Retain(background, c.retention)
		require.NoError(t, err)
		require.Equal(t, 300-c.left, removed)
		left := collect(t, tl.ByTime(background, timeline.Range{}))
		require.Len(t, left, c.left)
		require.InDelta(t, perEvent*c.left, m.Len(), 1, "no index entry is left behind")
		if c.left > 0 {
			require.Equal(t, at(299), left[c.left-1].Time)
		}
	}
	_, err := newTimeline(t, &timeline.Memory{}).Retain(background, timeline.Retention{MaxEvents: -1})
	require.ErrorIs(t, err, timeline.ErrInvalid)
}

// failing is a store of which one call fails.
type failing struct {
	timeline.Memory
	left int
}

var errBroken = errors.New("broken")

func (f *failing) call() error {
	if f.left--; f.left < 0 {
		return errBroken
	}
	return nil
}

func (f *failing) Apply(ctx context.Context, w []timeline.Entry, d [][]byte) error {
	if err := f.call(); err != nil {
		return err
	}
	return f.Memory.Apply(ctx, w, d)
}

func (f *failing) Get(ctx context.Context, key []byte) (timeline.Entry, bool, error) {
	if err := f.call(); err != nil {
		return timeline.Entry{}, false, err
	}
	return f.Memory.Get(ctx, key)
}

func (f *failing) Scan(ctx context.Context, lower, upper []byte) iter.Seq2[timeline.Entry, error] {
	return func(yield func(timeline.Entry, error) bool) {
		for e, err := range f.Memory.Scan(ctx, lower, upper) {
			if broken := f.call(); broken != nil {
				yield(timeline.Entry{}, broken)
				return
			}
			if !yield(e, err) {
				return
			}
		}
	}
}

// Whichever call of the store fails, its error comes out and no answer is short.
func TestErrorsOfTheStoreComeOut(t *testing.T) {
	all := func(seq iter.Seq2[hook.Event, error]) error {
		for _, err := range seq {
			if err != nil {
				return err
			}
		}
		return nil
	}
	for name, do := range map[string]func(tl *timeline.Timeline, d *hook.Dispatcher) error{
		"record": func(tl *timeline.Timeline, _ *hook.Dispatcher) error { return tl.Record(background, full()) },
		"scope": func(tl *timeline.Timeline, _ *hook.Dispatcher) error {
			return all(tl.ByScope(background, scope.Agent("a"), timeline.Range{}))
		},
		"effects": func(tl *timeline.Timeline, _ *hook.Dispatcher) error { return all(tl.Effects(background, id(2))) },
		"causes": func(tl *timeline.Timeline, _ *hook.Dispatcher) error {
			_, err := tl.Causes(background, id(1))
			return err
		},
		"retain": func(tl *timeline.Timeline, _ *hook.Dispatcher) error {
			_, err := tl.Retain(background, timeline.Retention{MaxEvents: 1})
			return err
		},
		"replay": func(tl *timeline.Timeline, d *hook.Dispatcher) error {
			_, err := tl.Replay(background, d, timeline.Replay{})
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			d, err := hook.New(hook.Options{Now: time.Now})
			require.NoError(t, err)
			defer func() { require.NoError(t, d.Close(background)) }()
			for n := 0; ; n++ {
				f := &failing{left: 10}
				tl := newTimeline(t, f)
				other := full()
				other.ID, other.Cause = id(2), hook.ID{}
				require.NoError(t, tl.Record(background, full(), other))
				f.left = n
				err := do(tl, d)
				if err == nil {
					require.GreaterOrEqual(t, f.left, 0, "a failure that nobody was told of")
					require.Positive(t, n)
					return
				}
				require.ErrorIs(t, err, errBroken)
			}
		})
	}
}
