package timeline_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/loamdb/loam/hook"
	"github.com/loamdb/loam/hook/timeline"
	"github.com/loamdb/loam/scope"
)

// replayed is a timeline of sets in three scopes, and a dispatcher whose before-hook upper
// vetoes bad, fails on sad, and whose after-hook writes an event of its own.
func replayed(t *testing.T, values bool) (*timeline.Timeline, *hook.Dispatcher, *timeline.Memory) {
	t.Helper()
	d, err := hook.New(hook.Options{Now: time.Now})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, d.Close(background)) })
	m := &timeline.Memory{}
	tl, err := timeline.New(m, timeline.Options{Codec: texts{}, RecordValues: values})
	require.NoError(t, err)
	for i, v := range []string{"a", "bad", "sad", "B", "c"} {
		ev := hook.Event{ID: id(i + 1), Time: at(i), Op: hook.OpSet, Scope: scope.Agent("x"), Key: "k"}
		if i == 4 {
			ev.Scope = scope.Global()
		}
		ev.Values = &hook.Values{New: v, HasNew: true}
		require.NoError(t, tl.Record(background, ev))
	}
	require.NoError(t, d.Register(hook.Hook{Name: "upper", Points: []hook.Point{hook.BeforeSet}, Before: func(_ context.Context, c *hook.Change) error {
		v, err := c.Value()
		switch {
		case err != nil:
			return err
		case v == "bad":
			return hook.Veto("bad")
		case v == "sad":
			return errors.New("sad")
		case v != strings.ToUpper(v.(string)):
			c.Replace(strings.ToUpper(v.(string)))
		}
		return nil
	}}))
	require.NoError(t, d.Register(hook.Hook{Name: "write", Points: []hook.Point{hook.AfterSet}, After: func(ctx context.Context, ev hook.Event) error {
		if hook.Simulated(ctx) {
			return hook.ErrSimulated
		}
		own := hook.Event{Op: hook.OpSet, Scope: scope.Hook("write"), Key: "log"}
		d.Stamp(ctx, &own)
		return tl.Record(ctx, own)
	}}))
	return tl, d, m
}

func TestReplayPlaysWhatWasRecorded(t *testing.T) { // B37
	tl, d, _ := replayed(t, true)
	applied := map[hook.ID]any{}
	told := 0
	report, err := tl.Replay(background, d, timeline.Replay{
		Apply: func(_ context.Context, ev hook.Event, c hook.Change) error {
			v, err := c.Value()
			applied[ev.ID] = v
			return err
		},
		Each: func(hook.Event, hook.Outcome) { told++ },
	})
	require.NoError(t, err)
	require.Equal(t, timeline.Report{Events: 5, Replaced: 2, Vetoed: 1, Refused: 1, Applied: 3}, report)
	require.Equal(t, map[hook.ID]any{id(1): "A", id(4): "B", id(5): "C"}, applied)
	require.Equal(t, 5, told)
	effects := collect(t, tl.Effects(background, id(1)))
	require.Len(t, effects, 1, "what hooks write is written, and its cause is the event")
	require.Equal(t, scope.Hook("write"), effects[0].Scope)
	require.Equal(t, id(1).String(), effects[0].CorrelationID())
}

func TestASimulatedReplayWritesNothing(t *testing.T) { // B37
	tl, d, m := replayed(t, true)
	entries := m.Len()
	report, err := tl.Replay(background, d, timeline.Replay{
		Simulate: true,
		Apply:    func(context.Context, hook.Event, hook.Change) error { t.Error("applied"); return nil },
	})
	require.NoError(t, err)
	require.Equal(t, timeline.Report{Events: 5, Replaced: 2, Vetoed: 1, Refused: 1, Failures: 3}, report)
	require.Equal(t, entries, m.Len())
}

func TestReplayOfChosenChangesToChosenHooks(t *testing.T) { // B37
	tl, d, _ := replayed(t, true)
	report, err := tl.Replay(background, d, timeline.Replay{Simulate: true, Range: timeline.Range{From: at(1), To: at(5)}, Scopes: "agent:*", Hooks: []string{"upper"}})
	require.NoError(t, err)
	require.Equal(t, timeline.Report{Events: 3, Vetoed: 1, Refused: 1}, report)
	report, err = tl.Replay(background, d, timeline.Replay{Simulate: true, Hooks: []string{"upper"}, Change: func(ev *hook.Event) (bool, error) {
		ev.Values.New = "changed"
		return ev.Scope == scope.Agent("x"), nil
	}})
	require.NoError(t, err)
	require.Equal(t, timeline.Report{Events: 4, PassedOver: 1, Replaced: 4}, report)
}

func TestReplayNeedsValues(t *testing.T) { // B37
	tl, d, _ := replayed(t, false)
	_, err := tl.Replay(background, d, timeline.Replay{Simulate: true})
	require.ErrorIs(t, err, hook.ErrNotRecorded)
	require.ErrorContains(t, err, id(1).String())
	report, err := tl.Replay(background, d, timeline.Replay{Simulate: true, Hooks: []string{"write"}})
	require.NoError(t, err, "hooks that need no values")
	require.Equal(t, 5, report.Failures)
	report, err = tl.Replay(background, d, timeline.Replay{Simulate: true, Hooks: []string{"upper"}, Change: func(ev *hook.Event) (bool, error) {
		ev.Values = &hook.Values{New: "given", HasNew: true}
		return true, nil
	}})
	require.NoError(t, err)
	require.Equal(t, 5, report.Replaced)
}

func TestReplayEndsAtTheFirstError(t *testing.T) {
	tl, d, _ := replayed(t, true)
	broken := errors.New("broken")
	_, err := tl.Replay(background, d, timeline.Replay{Change: func(*hook.Event) (bool, error) { return false, broken }})
	require.ErrorIs(t, err, broken)
	report, err := tl.Replay(background, d, timeline.Replay{Apply: func(context.Context, hook.Event, hook.Change) error { return broken }})
	require.ErrorIs(t, err, broken)
	require.Equal(t, 1, report.Events)
	_, err = tl.Replay(background, d, timeline.Replay{Scopes: "robot"})
	require.ErrorIs(t, err, timeline.ErrInvalid)
	ctx, cancel := context.WithCancel(background)
	report, err = tl.Replay(ctx, d, timeline.Replay{Simulate: true, Each: func(hook.Event, hook.Outcome) { cancel() }})
	require.ErrorIs(t, err, context.Canceled)
	require.Equal(t, 1, report.Events)
}
