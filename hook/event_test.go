package hook_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/loamdb/loam/hook"
	"github.com/loamdb/loam/scope"
)

func TestIDsHaveOneText(t *testing.T) {
	id := hook.ID{1, 2, 15: 255}
	parsed, err := hook.ParseID(id.String())
	require.NoError(t, err)
	require.Equal(t, id, parsed)
	for _, text := range []string{"", "00", strings.ToUpper(id.String()), id.String() + "00", strings.Repeat("x", 32)} {
		_, err := hook.ParseID(text)
		require.ErrorIs(t, err, hook.ErrInvalid, text)
	}
}

func TestAnEventHasTheCallersCorrelation(t *testing.T) { // B36
	d := newDispatcher(t, hook.Options{Now: func() time.Time { return time.Unix(7, 0) }, Rand: strings.NewReader("\x00\x00\x00\x00\x00\x00\x00\x00")})
	ctx, err := hook.WithCorrelation(background, "request-1")
	require.NoError(t, err)
	ctx, err = hook.WithActor(ctx, "alice")
	require.NoError(t, err)
	child, cancel := context.WithCancel(context.WithValue(ctx, parentKey{}, 1))
	defer cancel()
	var ev hook.Event
	d.Stamp(child, &ev)
	require.Equal(t, "request-1", ev.CorrelationID())
	require.Equal(t, "alice", ev.Actor)
	require.Equal(t, time.Unix(7, 0), ev.Time)
	require.False(t, ev.ID.IsZero())
	again := ev
	d.Stamp(background, &again)
	require.Equal(t, ev, again, "what is there stays")
	var other hook.Event
	d.Stamp(background, &other)
	require.NotEqual(t, ev.ID, other.ID)
	require.Equal(t, other.ID.String(), other.CorrelationID())
	for _, bad := range []string{"", "a\nb", "\xff", strings.Repeat("x", hook.MaxCorrelationLen+1)} {
		_, err := hook.WithCorrelation(background, bad)
		require.ErrorIs(t, err, hook.ErrInvalid)
		_, err = hook.WithActor(background, bad)
		require.ErrorIs(t, err, hook.ErrInvalid)
	}
}

// What a hook changes belongs to the same whole, and has the event it handles for its cause.
func TestChangesOfAHookHaveTheirCause(t *testing.T) { // B36
	d := newDispatcher(t, hook.Options{})
	var seen []hook.Event
	require.NoError(t, d.Register(after("chain", func(ctx context.Context, ev hook.Event) error {
		seen = append(seen, ev)
		if len(seen) < 3 {
			d.After(ctx, event("next"))
		}
		return nil
	})))
	d.After(background, event("first"))
	require.NoError(t, d.Drain(background))
	require.Len(t, seen, 3)
	require.True(t, seen[0].Cause.IsZero())
	for i := 1; i < 3; i++ {
		require.Equal(t, seen[i-1].ID, seen[i].Cause)
		require.Equal(t, seen[0].ID.String(), seen[i].CorrelationID())
	}
	ctx, err := hook.WithCorrelation(background, "c")
	require.NoError(t, err)
	require.NoError(t, d.Register(before("trace", func(ctx context.Context, _ *hook.Change) error {
		require.Equal(t, "c", hook.TraceOf(ctx).Correlation)
		return nil
	})))
	require.NoError(t, d.Before(ctx, set(scope.Global(), "k", 1)))
}

func TestValuesAreForHooksThatAskForThem(t *testing.T) {
	d := newDispatcher(t, hook.Options{})
	got := map[string]*hook.Values{}
	for _, name := range []string{"asks", "not"} {
		h := after(name, func(_ context.Context, ev hook.Event) error { got[name] = ev.Values; return nil })
		h.Inline, h.Values = true, name == "asks"
		require.NoError(t, d.Register(h))
	}
	ev := event("k")
	ev.Values = &hook.Values{New: "secret", HasNew: true}
	d.After(background, ev)
	require.Nil(t, got["not"])
	require.Equal(t, ev.Values, got["asks"])
}

func TestReplayRunsHooksOnWhatWas(t *testing.T) { // B37
	d := newDispatcher(t, hook.Options{})
	var told []any
	require.NoError(t, d.Register(before("upper", func(_ context.Context, c *hook.Change) error {
		v, err := c.Value()
		if v == "bad" {
			return hook.Veto("bad")
		}
		c.Replace(strings.ToUpper(v.(string)))
		return err
	})))
	failing := errors.New("failing")
	h := after("told", func(ctx context.Context, ev hook.Event) error {
		require.True(t, hook.Simulated(ctx))
		told = append(told, ev.Values.New)
		return failing
	})
	h.Values = true
	require.NoError(t, d.Register(h))
	ctx := hook.Simulate(background)
	ev := event("k")
	_, err := d.Replay(ctx, ev)
	require.ErrorIs(t, err, hook.ErrNotRecorded)
	ev.Values = &hook.Values{New: "v", HasNew: true}
	out, err := d.Replay(ctx, ev)
	require.NoError(t, err)
	require.NoError(t, out.Refused)
	v, replaced := out.Change.Replaced()
	require.True(t, replaced)
	require.Equal(t, "V", v)
	require.Equal(t, []any{"V"}, told)
	require.Len(t, out.Failures, 1)
	require.ErrorIs(t, out.Failures[0], failing)
	require.Equal(t, "v", ev.Values.New)

	out, err = d.Replay(ctx, ev, "told")
	require.NoError(t, err)
	_, replaced = out.Change.Replaced()
	require.False(t, replaced)
	require.Equal(t, []any{"V", "v"}, told)

	ev.Values = &hook.Values{New: "bad", HasNew: true}
	out, err = d.Replay(ctx, ev)
	require.NoError(t, err)
	var veto *hook.VetoError
	require.ErrorAs(t, out.Refused, &veto)
	require.Len(t, told, 2, "a refused change has no after")

	d.After(ctx, ev)
	require.NoError(t, d.Drain(background))
	require.Len(t, told, 2, "a simulation tells nobody")
	_, err = d.Replay(ctx, hook.Event{})
	require.ErrorIs(t, err, hook.ErrInvalid)
	out, err = d.Replay(ctx, hook.Event{Op: hook.OpDelete, Scope: scope.Global(), Key: "k"})
	require.NoError(t, err)
	require.Empty(t, out.Failures)
}
