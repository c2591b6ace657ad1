package state_test

import (
	"context"
	"iter"
	"testing"
	"time"

	"github.com/loamdb/loam/access"
	"github.com/loamdb/loam/access/audit"
	"github.com/loamdb/loam/hook"
	"github.com/loamdb/loam/hook/timeline"
	"github.com/loamdb/loam/scope"
	"github.com/loamdb/loam/state"
	"github.com/stretchr/testify/require"
)

// Of the audit the oldest records go; the rest is verified from the anchor on, also after the store was closed, and
// is found by principal, scope, verdict and time.
func TestTheAuditIsCut(t *testing.T) {
	o := controlled()
	o.NoSync = true
	everywhere(t, o, func(t *testing.T, f *fixture) {
		const segment = 4096
		for i := range segment + 10 {
			_, err := f.As([]access.Principal{"alice", "bob"}[i%2]).Scope(agent).Get(ctx, "k")
			require.Error(t, err)
		}
		root := f.As("root")
		report, err := root.VerifyAudit(ctx)
		require.NoError(t, err)
		head := report.Head
		require.EqualValues(t, segment+10, report.Records)
		removed, err := root.RetainAudit(ctx, audit.Retention{MaxRecords: 5})
		require.NoError(t, err)
		require.Equal(t, segment, removed)
		f.reopenOnDisk()
		root = f.As("root")
		report, err = root.VerifyAudit(ctx)
		require.NoError(t, err)
		require.EqualValues(t, 11, report.Records, "the removal too")
		require.EqualValues(t, segment+11, report.Head.Seq)
		if f.dir == "" {
			_, err = root.VerifyAudit(ctx, head)
			require.NoError(t, err)
		}
		for _, c := range []struct {
			query audit.Query
			n     int
		}{
			{audit.Query{Principal: "bob"}, 5}, {audit.Query{Scope: agent}, 10}, {audit.Query{Scope: scope.User("u")}, 0},
			{audit.Query{Verdict: audit.OnlyAllowed}, 1}, {audit.Query{To: time.Now().Add(-time.Hour)}, 0},
			{audit.Query{From: time.Now().Add(-time.Hour), Verdict: audit.OnlyDenied, Principal: "alice"}, 5},
		} {
			require.Len(t, records(t, f.Store, c.query), c.n, "%+v", c.query)
		}
		_, err = f.As("alice").RetainAudit(ctx, audit.Retention{MaxRecords: 1})
		requireDenied(t, err)
	})
}

// B36, B37, B63: an admin's view has the timeline, by time, scope, key and correlation, with causes and effects, and
// plays it to hooks again; what the replay changes is asked for as the view's that it is done with.
func TestTheTimelineOfAView(t *testing.T) {
	o := controlled()
	o.Timeline = &state.TimelineOptions{RecordValues: true}
	everywhere(t, o, func(t *testing.T, f *fixture) {
		grant(t, f.Store, "alice", access.Allow, access.Read|access.Write, "agent:*", "*")
		counter := f.As("alice").Scope(agent)
		register(t, f.Store, hook.Hook{Name: "count", Points: []hook.Point{hook.AfterSet}, Keys: "order", After: func(ctx context.Context, _ hook.Event) error {
			_, err := counter.Increment(ctx, "orders", 1)
			return err
		}})
		request, err := hook.WithCorrelation(ctx, "request-1")
		require.NoError(t, err)
		root := f.As("root")
		require.NoError(t, root.Scope(agent).Set(request, "order", "tea"))
		require.NoError(t, f.Hooks().Drain(ctx))
		require.NoError(t, root.Scope(scope.User("u")).Set(ctx, "order", "none"))
		require.NoError(t, f.Hooks().Drain(ctx))
		f.reopenOnDisk()
		root = f.As("root")

		tl := root.Timeline()
		all := eventsOf(t, tl.ByTime(ctx, timelineAll))
		require.Len(t, all, 4)
		require.Equal(t, []string{"root", "alice", "root", "alice"}, []string{all[0].Actor, all[1].Actor, all[2].Actor, all[3].Actor})
		require.Equal(t, all[:2], eventsOf(t, tl.ByCorrelation(ctx, "request-1", timelineAll)))
		require.Equal(t, []hook.Event{all[2]}, eventsOf(t, tl.ByScope(ctx, scope.User("u"), timelineAll)))
		require.Equal(t, []hook.Event{all[1], all[3]}, eventsOf(t, tl.ByKey(ctx, agent, "orders", timelineAll)))
		require.Empty(t, eventsOf(t, tl.ByTime(ctx, timeline.Range{To: all[0].Time})))
		require.Equal(t, all[1:2], eventsOf(t, tl.Effects(ctx, all[0].ID)))
		causes, err := tl.Causes(ctx, all[1].ID)
		require.NoError(t, err)
		require.Equal(t, all[:1], causes)

		register(t, f.Store, hook.Hook{Name: "again", Points: []hook.Point{hook.BeforeSet}, Before: func(context.Context, *hook.Change) error { return nil }})
		apply := func(who access.Principal) timeline.Replay {
			return timeline.Replay{Hooks: []string{"again"}, Apply: func(ctx context.Context, _ hook.Event, c hook.Change) error {
				v, err := c.Value()
				if err != nil {
					return err
				}
				return f.As(who).Scope(c.Scope).Set(ctx, c.Key, v)
			}}
		}
		_, err = tl.Replay(ctx, f.Hooks(), apply("alice"))
		var denied *access.AccessError
		require.ErrorAs(t, err, &denied, "of the user's scope")
		report, err := tl.Replay(ctx, f.Hooks(), timeline.Replay{Hooks: []string{"again"}, Simulate: true})
		require.NoError(t, err)
		require.Positive(t, report.Events)
		require.Zero(t, report.Applied)
		_, err = tl.Replay(ctx, f.Hooks(), apply("root"))
		require.NoError(t, err)

		_, err = f.As("alice").Timeline().Replay(ctx, f.Hooks(), timeline.Replay{Simulate: true})
		require.ErrorAs(t, err, &denied)
		_, err = f.As("alice").Timeline().Causes(ctx, all[1].ID)
		require.ErrorAs(t, err, &denied)
		for _, seq := range []iter.Seq2[hook.Event, error]{
			f.As("alice").Timeline().ByScope(ctx, agent, timelineAll), f.As("alice").Timeline().ByKey(ctx, agent, "orders", timelineAll),
			f.As("alice").Timeline().ByCorrelation(ctx, "request-1", timelineAll), f.As("alice").Timeline().Effects(ctx, all[0].ID),
		} {
			require.ErrorAs(t, last(seq), &denied)
		}
		require.ErrorAs(t, f.As("alice").Timeline().Record(ctx, all[0]), &denied)
	})
}

func eventsOf(t *testing.T, seq iter.Seq2[hook.Event, error]) []hook.Event {
	t.Helper()
	var events []hook.Event
	for ev, err := range seq {
		require.NoError(t, err)
		events = append(events, ev)
	}
	return events
}
