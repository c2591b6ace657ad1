package scope_test

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/loamdb/loam/internal/golden"
	"github.com/loamdb/loam/scope"
	"github.com/stretchr/testify/require"
)

// samples are valid scopes of every kind, in their order.
func samples() []scope.Scope {
	ids := []string{" ", "a", "a b", "a:b", `a\`, `a\:b`, "b", "step", "é", strings.Repeat("x", scope.MaxIDLen), "日本"}
	slices.Sort(ids)
	out := []scope.Scope{scope.Global()}
	for _, of := range []func(string) scope.Scope{scope.User, scope.Session, scope.Agent, scope.Tool, scope.Workflow} {
		for _, id := range ids {
			out = append(out, of(id))
		}
	}
	for _, workflow := range ids {
		for _, step := range ids {
			out = append(out, scope.Step(workflow, step))
		}
	}
	for _, of := range []func(string) scope.Scope{scope.Hook, scope.Custom} {
		for _, id := range ids {
			out = append(out, of(id))
		}
	}
	return out
}

// B8, with every kind and what ids may hold.
func TestTextAndKeyFormsRoundTrip(t *testing.T) {
	texts := map[string]bool{}
	for _, s := range samples() {
		require.NoError(t, s.Validate())
		got, err := scope.Parse(s.String())
		require.NoError(t, err, "%q", s)
		require.Equal(t, s, got)
		require.False(t, texts[s.String()], "%q twice", s)
		texts[s.String()] = true
		got, err = scope.ParseKey(scope.AppendKey(nil, s))
		require.NoError(t, err, "%q", s)
		require.Equal(t, s, got)
	}
}

func TestKeyFormsSortAsScopesDo(t *testing.T) {
	all := samples()
	for i, a := range all {
		for j, b := range all {
			ka, kb := scope.AppendKey(nil, a), scope.AppendKey(nil, b)
			require.Equal(t, bytes.Compare(ka, kb) < 0, scope.Compare(a, b) < 0, "%s, %s", a, b)
			require.Equal(t, i < j, scope.Compare(a, b) < 0, "%s, %s", a, b)
			require.Equal(t, i == j, scope.Compare(a, b) == 0)
		}
	}
}

func TestTextForms(t *testing.T) {
	var out strings.Builder
	for _, s := range []scope.Scope{
		scope.Global(), scope.User("u1"), scope.Session("s:1"), scope.Agent(`a\b`), scope.Tool("web search"),
		scope.Workflow("w1"), scope.Step("w1", "s1"), scope.Step("w:1", `s\1`), scope.Hook("h"), scope.Custom("日本"),
	} {
		fmt.Fprintf(&out, "%-20s % x\n", s, scope.AppendKey(nil, s))
	}
	golden.Assert(t, "testdata/names.txt", []byte(out.String()))
}

func TestScopesThatCannotBe(t *testing.T) {
	long := strings.Repeat("x", scope.MaxIDLen+1)
	for _, s := range []scope.Scope{
		{}, scope.User(""), scope.Agent(long), scope.Tool("a\x00b"), scope.Hook("a\nb"), scope.Custom("\x7f"),
		scope.Session("\u0085"), scope.User("\xff"), scope.Step("", "s"), scope.Step("w", ""), scope.Step("w", "\x00"),
		scope.Step("w", long), scope.Workflow("\xed\xa0\x80"),
	} {
		require.ErrorIs(t, s.Validate(), scope.ErrInvalid, "%q", s)
		require.NotEmpty(t, s.String())
	}
	for _, text := range []string{
		"", "Global", "global:", "global:x", "user", "user:", "user:a:b", `user:a\`, `user:\a`, `\user:a`, "any:x", "step:x",
		"step:w:s", "workflow:w:step", "workflow:w:step:", "workflow::step:s", "workflow:w:Step:s", "workflow:w:step:s:t",
		"robot:r", "custom:" + long, "agent:a\tb", "tool:\xff", ":", "invalid", "kind(12):x",
	} {
		_, err := scope.Parse(text)
		require.ErrorIs(t, err, scope.ErrInvalid, "%q", text)
	}
	for _, key := range []string{"", "\x00", "\x0a", "\x01x", "\x02", "\x02a\x00b", "\x07w", "\x07w\x00", "\x07\x00s", "\x07w\x00s\x00t",
		"\x09" + long, "\x07" + long + "\x00" + long} {
		_, err := scope.ParseKey([]byte(key))
		require.ErrorIs(t, err, scope.ErrInvalid, "%q", key)
	}
}

func TestParents(t *testing.T) {
	chain := func(s scope.Scope) (out []string) {
		for ok := true; ok; s, ok = s.Parent() {
			out = append(out, s.String())
		}
		return out
	}
	require.Equal(t, []string{"workflow:w:step:s", "workflow:w", "global"}, chain(scope.Step("w", "s")))
	require.Equal(t, []string{"agent:a", "global"}, chain(scope.Agent("a")))
	require.Equal(t, []string{"global"}, chain(scope.Global()))
	_, ok := scope.Scope{}.Parent()
	require.False(t, ok)
}

func TestAScopeIsTheKeyOfAMap(t *testing.T) {
	m := map[scope.Scope]int{scope.Agent("a:b"): 1, scope.Agent("a"): 2, scope.Step("a", "b"): 3}
	s, err := scope.Parse(`agent:a\:b`)
	require.NoError(t, err)
	require.Equal(t, 1, m[s])
	require.Equal(t, scope.KindStep, scope.Step("a", "b").Kind())
	require.Equal(t, "a", scope.Step("a", "b").ID())
	require.Equal(t, "b", scope.Step("a", "b").StepName())
	require.Equal(t, "session kind(99)", scope.KindSession.String()+" "+scope.Kind(99).String())
}

func ExampleParse() {
	s, err := scope.Parse(`workflow:nightly\:eu:step:load`)
	fmt.Println(s.ID(), s.StepName(), err)
	parent, _ := s.Parent()
	fmt.Println(parent)
	_, err = scope.Parse("robot:r2")
	fmt.Println(err)
	// Output:
	// nightly:eu load <nil>
	// workflow:nightly\:eu
	// scope: invalid scope: no such kind: "robot"
}

func FuzzParse(f *testing.F) {
	for _, s := range samples() {
		f.Add(s.String(), scope.AppendKey(nil, s), s.ID(), s.StepName())
	}
	f.Add(`user:a\`, []byte{7, 'w', 0}, "\x00", "")
	f.Fuzz(func(t *testing.T, text string, key []byte, id, step string) {
		if s, err := scope.Parse(text); err == nil && (s.String() != text || s.Validate() != nil) {
			t.Fatalf("%q parses as %q", text, s)
		}
		if s, err := scope.ParseKey(key); err == nil && (!bytes.Equal(scope.AppendKey(nil, s), key) || s.Validate() != nil) {
			t.Fatalf("% x parses as %q", key, s)
		}
		for _, s := range []scope.Scope{scope.Custom(id), scope.Step(id, step)} {
			if s.Validate() != nil {
				continue
			}
			got, err := scope.Parse(s.String())
			if err != nil || got != s {
				t.Fatalf("%q parses as %q, %v", s, got, err)
			}
			if got, err = scope.ParseKey(scope.AppendKey(nil, s)); err != nil || got != s {
				t.Fatalf("the key of %q parses as %q, %v", s, got, err)
			}
		}
	})
}
