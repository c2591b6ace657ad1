package privacy_test

import (
	"bytes"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/loamdb/loam/privacy"
)

// checkTwice protects a document and what comes of it, which must stay (P2), and turns it back.
func checkTwice(t *testing.T, p *privacy.Protector, doc any) {
	t.Helper()
	once, findings, err := p.Protect(doc)
	require.NoError(t, err)
	twice, again, err := p.Protect(once)
	require.NoError(t, err)
	require.Equal(t, once, twice)
	for _, f := range again {
		require.False(t, f.Mode >= privacy.Redact && !f.InName, "%v of %#v", f, once)
	}
	if len(findings) == 0 {
		require.Equal(t, doc, once)
	}
}

const secretMail = "john@example.com"

var goldenMarks = map[privacy.Mode]string{
	privacy.Tokenise: "[token:email:43b7263f03deca6a0335cc5b6f1e91f2b95bc673ed47e76f3a290dcb849929fe5ebe89b741aae10393a6e8b80f38fe34ddf319798a96d3f637]",
	privacy.Encrypt:  "[sealed:email:000000000000000000000000000000000000000000000000bea01e9724507993dac13243f3e9c55cf6c11ded5e70897e59b0cbb397bd11b5c5]",
}

// Each mode does with a finding what it says.
func TestModes(t *testing.T) {
	text := "from " + secretMail + " to " + secretMail
	marked := func(mode privacy.Mode) string {
		out, findings, err := protector(t, mode).Protect(text)
		require.NoError(t, err)
		require.Len(t, findings, 2)
		return out.(string)
	}
	require.Equal(t, text, marked(privacy.Detect))
	require.Equal(t, "from [redacted:email] to [redacted:email]", marked(privacy.Redact))
	require.Regexp(t, `^from (\[hash:email:[0-9a-f]{64}\]) to \[hash:email:[0-9a-f]{64}\]$`, marked(privacy.Hash))
	require.Regexp(t, `^from \[token:email:[0-9a-f]{114}\] to \[token:email:[0-9a-f]{114}\]$`, marked(privacy.Tokenise))
	require.Regexp(t, `^from \[sealed:email:[0-9a-f]{114}\] to \[sealed:email:[0-9a-f]{114}\]$`, marked(privacy.Encrypt))

	out, findings, err := protector(t, privacy.Off).Protect(text)
	require.NoError(t, err)
	require.Empty(t, findings)
	require.Equal(t, text, out)

	out, findings, err = protector(t, privacy.Block).Protect(map[string]any{"a": []any{text}})
	require.Nil(t, out)
	require.Len(t, findings, 2)
	var blocked *privacy.BlockedError
	require.ErrorAs(t, err, &blocked)
	require.ErrorIs(t, err, privacy.ErrBlocked)
	require.Equal(t, privacy.Finding{Detector: privacy.Email, Mode: privacy.Block, Path: "a.0", Start: 5, End: 21}, blocked.Finding)
	require.Equal(t, `privacy: blocked: email at "a.0"`, err.Error())
}

// B64: hashes and tokens are stable and keyed; ciphertexts are not stable.
func TestHashesAndTokensAreStableAndKeyed(t *testing.T) {
	other, err := privacy.NewKeySet(bytes.Repeat([]byte{7}, privacy.KeySize), nil)
	require.NoError(t, err)
	for mode, stable := range map[privacy.Mode]bool{privacy.Hash: true, privacy.Tokenise: true, privacy.Encrypt: false} {
		p := protector(t, mode)
		one, _, err := p.Protect(secretMail)
		require.NoError(t, err)
		two, _, err := p.Protect(secretMail)
		require.NoError(t, err)
		require.Equal(t, stable, one == two, mode)
		three, _, err := p.With(other).Protect(secretMail)
		require.NoError(t, err)
		require.NotEqual(t, one, three)
	}
	// The hash is what docs/privacy.md says, so that others can compute it.
	key, err := hkdf.Expand(sha256.New, []byte(theKey), "loam privacy 1 hash", 32)
	require.NoError(t, err)
	h := hmac.New(sha256.New, key)
	h.Write([]byte("email\x00s" + secretMail))
	out, _, err := protector(t, privacy.Hash).Protect(secretMail)
	require.NoError(t, err)
	require.Equal(t, "[hash:email:"+hex.EncodeToString(h.Sum(nil))+"]", out)
}

// B64: kinds are found in nested fields, and a sensitive name covers objects and lists under it.
func TestNestedFields(t *testing.T) {
	p := protector(t, privacy.Redact)
	at := time.Unix(1, 0)
	doc := map[string]any{
		"user":        map[string]any{"name": "Jo", "mails": []any{"x", secretMail, []any{secretMail}}, "author": "Ann", "total_tokens": int64(5)},
		"credentials": map[string]any{"login": "jo", "pin": int64(1234), "list": []any{"a", uint64(2), 1.5, true, nil, at, []byte("z"), ""}},
		"api_key":     "k", "raw": []byte("mail " + secretMail), "binary": []byte{0xff, '@'}, "token_count": int64(7), "secret": nil,
	}
	before := fmt.Sprint(doc)
	out, findings, err := p.Protect(doc)
	require.NoError(t, err)
	const field = "[redacted:field]"
	require.Equal(t, map[string]any{
		"user":        map[string]any{"name": "Jo", "mails": []any{"x", "[redacted:email]", []any{"[redacted:email]"}}, "author": "Ann", "total_tokens": int64(5)},
		"credentials": map[string]any{"login": field, "pin": field, "list": []any{field, field, field, true, nil, field, field, ""}},
		"api_key":     field, "raw": []byte("mail [redacted:email]"), "binary": []byte{0xff, '@'}, "token_count": int64(7), "secret": nil,
	}, out)
	require.Equal(t, before, fmt.Sprint(doc), "P6")
	var paths []string
	for _, f := range findings {
		paths = append(paths, f.Path)
	}
	require.Equal(t, []string{"api_key", "credentials.list.0", "credentials.list.1", "credentials.list.2", "credentials.list.5",
		"credentials.list.6", "credentials.login", "credentials.pin", "raw", "user.mails.1", "user.mails.2.0"}, paths)
	checkTwice(t, p, doc)
}

// Tokens and ciphertexts are stored: the bytes of one each, made with a fixed nonce, and that
// they open.
func TestMarksKeepTheirForm(t *testing.T) {
	keys, err := privacy.NewKeySet([]byte(theKey), bytes.NewReader(make([]byte, 24)))
	require.NoError(t, err)
	for mode, want := range goldenMarks {
		p := protector(t, mode).With(keys)
		out, _, err := p.Protect(secretMail)
		require.NoError(t, err)
		require.Equal(t, want, out)
		back, err := p.Reveal(want)
		require.NoError(t, err)
		require.Equal(t, secretMail, back)
	}
}

// What was tokenised or encrypted comes back with its type, and only with its keys.
func TestReveal(t *testing.T) {
	doc := map[string]any{
		"text": "from " + secretMail + ", card 4111111111111111.",
		"raw":  []byte("mail " + secretMail),
		"credentials": []any{"a", int64(math.MinInt64), uint64(math.MaxUint64), 1.5, []byte{0, 1}, true, nil,
			time.Date(2024, 1, 2, 3, 4, 5, 6, time.UTC), time.Date(20000, 1, 1, 0, 0, 0, 0, time.UTC).Format(time.RFC3339)},
	}
	for _, mode := range []privacy.Mode{privacy.Tokenise, privacy.Encrypt} {
		p := protector(t, mode)
		stored, _, err := p.Protect(doc)
		require.NoError(t, err)
		require.NotContains(t, fmt.Sprintf("%s", stored), "john")
		got, err := p.Reveal(stored)
		require.NoError(t, err)
		require.Equal(t, doc, got)
		checkTwice(t, p, doc)

		other, err := privacy.NewKeySet(make([]byte, privacy.KeySize), nil)
		require.NoError(t, err)
		_, err = p.With(other).Reveal(stored)
		var reveal *privacy.RevealError
		require.ErrorAs(t, err, &reveal)
		require.ErrorIs(t, err, privacy.ErrReveal)
	}
	far := time.Date(2024, 1, 2, 3, 4, 5, 6, time.FixedZone("far", 1<<30))
	p := protector(t, privacy.Encrypt)
	stored, _, err := p.Protect(map[string]any{"password": far})
	require.NoError(t, err)
	got, err := p.Reveal(stored)
	require.NoError(t, err)
	require.True(t, far.Equal(got.(map[string]any)["password"].(time.Time)))

	p = protector(t, privacy.Hash)
	stored, _, err = p.Protect(doc)
	require.NoError(t, err)
	got, err = p.Reveal(stored)
	require.NoError(t, err)
	require.Equal(t, stored, got, "hashes stay")
}

// A mark that these keys have not made is an error, wherever it is from.
func TestForgedMarksAreNotRevealed(t *testing.T) {
	p := protector(t, privacy.Tokenise)
	stored, _, err := p.Protect(secretMail)
	require.NoError(t, err)
	token := stored.(string)
	for _, forged := range []string{
		strings.Replace(token, "email", "card", 1), strings.Replace(token, "token", "sealed", 1), strings.Replace(token, "]", "00]", 1),
		"[token:email:" + strings.Repeat("0", 64) + "]", "[sealed:field:" + hex.EncodeToString(make([]byte, 99)) + "] and more",
	} {
		_, err := p.Reveal([]any{forged})
		require.ErrorIs(t, err, privacy.ErrReveal, forged)
	}
	for _, plain := range []string{"[token:email]", "[token:email:00]", "[token:nothing:" + strings.Repeat("0", 64) + "]", "[redacted:email:00]", "[token:email:" + strings.Repeat("0", 65) + "]", "["} {
		got, err := p.Reveal(plain)
		require.NoError(t, err)
		require.Equal(t, plain, got)
	}
	policy, err := privacy.New(&privacy.Policy{}, nil)
	require.NoError(t, err)
	_, err = policy.Reveal(token)
	require.ErrorIs(t, err, privacy.ErrNoKeys)
}

// Rules set modes by path: deeper ones win over outer ones, later ones over earlier ones.
func TestRules(t *testing.T) {
	p, err := privacy.New(&privacy.Policy{
		Default: privacy.Redact,
		Rules: []privacy.Rule{
			{Path: "raw", Mode: privacy.Off},
			{Path: "raw.inner", Detectors: []privacy.Detector{privacy.Email}, Mode: privacy.Redact},
			{Path: "people.*.mail", Detectors: []privacy.Detector{privacy.Email}, Mode: privacy.Detect},
			{Path: "people.1.mail", Detectors: []privacy.Detector{privacy.Email}, Mode: privacy.Redact},
			{Path: "**.notes", Mode: privacy.Redact},
			{Path: "credentials.user", Mode: privacy.Off},
			{Path: `a\.b.\*`, Mode: privacy.Redact},
			{Path: "sealed", Detectors: []privacy.Detector{privacy.Field}, Mode: privacy.Off},
		},
	}, nil)
	require.NoError(t, err)
	const mail, field = "[redacted:email]", "[redacted:field]"
	out, _, err := p.Protect(map[string]any{
		"raw":    map[string]any{"x": secretMail, "password": "p", "inner": map[string]any{"y": secretMail}},
		"people": []any{map[string]any{"mail": secretMail, "alt": secretMail}, map[string]any{"mail": secretMail}},
		"deep":   map[string]any{"er": map[string]any{"notes": []any{"n", int64(1)}}}, "notes": "n",
		"credentials": map[string]any{"user": "u", "pass": "p"},
		"a.b":         map[string]any{"*": "x", "c": "x"},
		"sealed":      map[string]any{"password": "p", "mail": secretMail},
	})
	require.NoError(t, err)
	require.Equal(t, map[string]any{
		"raw":    map[string]any{"x": secretMail, "password": "p", "inner": map[string]any{"y": mail}},
		"people": []any{map[string]any{"mail": secretMail, "alt": mail}, map[string]any{"mail": mail}},
		"deep":   map[string]any{"er": map[string]any{"notes": []any{field, field}}}, "notes": field,
		"credentials": map[string]any{"user": "u", "pass": field},
		"a.b":         map[string]any{"*": field, "c": "x"},
		"sealed":      map[string]any{"password": "p", "mail": mail},
	}, out)

	root, err := privacy.New(&privacy.Policy{Rules: []privacy.Rule{{Mode: privacy.Redact}}}, nil)
	require.NoError(t, err)
	out, _, err = root.Protect("anything")
	require.NoError(t, err)
	require.Equal(t, field, out)
}

// P1: no finding, path or error shows what was found; a name that is personal data is
// reported, since no mode changes it, and refused under Block.
func TestWhatIsFoundIsNowhereShown(t *testing.T) {
	doc := map[string]any{secretMail: map[string]any{"x.y": "call +14155552671"}, "password": struct{}{}}
	_, _, err := protector(t, privacy.Redact).Protect(doc)
	var typed *privacy.TypeError
	require.ErrorAs(t, err, &typed)
	require.Equal(t, "password", typed.Path)
	delete(doc, "password")

	out, findings, err := protector(t, privacy.Redact).Protect(doc)
	require.NoError(t, err)
	require.Equal(t, map[string]any{secretMail: map[string]any{"x.y": "call [redacted:phone]"}}, out)
	require.Equal(t, []privacy.Finding{
		{Detector: privacy.Email, Mode: privacy.Redact, InName: true, Path: "[redacted:email]", End: len(secretMail)},
		{Detector: privacy.Phone, Mode: privacy.Redact, Path: `[redacted:email].x\.y`, Start: 5, End: 17},
	}, findings)

	_, _, err = protector(t, privacy.Block).Protect(doc)
	require.ErrorIs(t, err, privacy.ErrBlocked)
	require.NotContains(t, err.Error(), "john")
	_, _, err = protector(t, privacy.Redact).Protect(map[string]any{secretMail: int(1)})
	require.ErrorAs(t, err, &typed)
	require.NotContains(t, err.Error(), "john")
}

// P6 and P5: a document in which nothing changes is returned itself.
func TestCleanDocumentsAreReturnedThemselves(t *testing.T) {
	p := protector(t, privacy.Redact)
	inner := []any{"x", int64(1), []byte("y")}
	doc := map[string]any{"a": inner}
	out, findings, err := p.Protect(doc)
	require.NoError(t, err)
	require.Empty(t, findings)
	out.(map[string]any)["mine"] = true
	require.True(t, doc["mine"].(bool))

	changed, _, err := p.Protect(map[string]any{"a": inner, "b": secretMail})
	require.NoError(t, err)
	require.Same(t, &inner[0], &changed.(map[string]any)["a"].([]any)[0], "the rest is shared")
}

// Documents are of some types and of some depth.
func TestDocumentsThatCannotBe(t *testing.T) {
	p := protector(t, privacy.Redact)
	for _, bad := range []any{1, int32(1), float32(1), struct{}{}, []string{"a"}, map[string]string{}, errors.New("x"), &struct{}{}} {
		_, _, err := p.Protect(map[string]any{"a": []any{bad}})
		var typed *privacy.TypeError
		require.ErrorAs(t, err, &typed)
		require.Equal(t, "a.0", typed.Path)
		require.Equal(t, fmt.Sprintf("%T", bad), typed.Type)
		_, err = p.Reveal(bad)
		require.ErrorAs(t, err, &typed)
		_, err = p.Find(bad)
		require.ErrorAs(t, err, &typed)
	}
	ring := []any{nil}
	ring[0] = ring
	_, _, err := p.Protect(ring)
	require.ErrorIs(t, err, privacy.ErrTooDeep)
	_, err = p.Reveal(ring)
	require.ErrorIs(t, err, privacy.ErrTooDeep)
	var deep any = secretMail
	for range privacy.MaxDepth {
		deep = []any{deep}
	}
	_, findings, err := p.Protect(deep)
	require.NoError(t, err)
	require.Len(t, findings, 1)
	_, _, err = p.Protect([]any{deep})
	require.ErrorIs(t, err, privacy.ErrTooDeep)
}

// Every problem of a policy is named.
func TestPoliciesAreChecked(t *testing.T) {
	_, err := privacy.New(&privacy.Policy{Default: 99, Modes: map[privacy.Detector]privacy.Mode{99: privacy.Redact},
		Rules: []privacy.Rule{{Path: "a..b"}, {Path: "**.**"}, {Path: `a\`}, {Path: "a", Mode: 77}, {Path: "a", Detectors: []privacy.Detector{88}}}}, nil)
	require.ErrorIs(t, err, privacy.ErrInvalidPolicy)
	for _, part := range []string{"mode(99)", "detector(99)", "Rules[0]", "Rules[1]", "Rules[2]", "mode(77)", "detector(88)"} {
		require.ErrorContains(t, err, part)
	}
	for _, mode := range []privacy.Mode{privacy.Hash, privacy.Tokenise, privacy.Encrypt} {
		_, err = privacy.New(&privacy.Policy{Default: mode}, nil)
		require.ErrorIs(t, err, privacy.ErrNoKeys)
		_, err = privacy.New(&privacy.Policy{Rules: []privacy.Rule{{Path: "a", Mode: mode}}}, nil)
		require.ErrorIs(t, err, privacy.ErrNoKeys)
	}
	_, err = privacy.NewKeySet(make([]byte, 31), nil)
	require.ErrorIs(t, err, privacy.ErrInvalidKey)
}

// brokenKeys fail, or return too little.
type brokenKeys struct {
	err     error
	payload []byte
}

func (k brokenKeys) Hash(privacy.Detector, []byte) ([]byte, error)     { return k.payload, k.err }
func (k brokenKeys) Tokenise(privacy.Detector, []byte) ([]byte, error) { return k.payload, k.err }
func (k brokenKeys) Encrypt(privacy.Detector, []byte) ([]byte, error)  { return k.payload, k.err }
func (k brokenKeys) Reveal(privacy.Mode, privacy.Detector, []byte) ([]byte, error) {
	return k.payload, k.err
}

// Keys that fail leave nothing half protected.
func TestKeysThatFail(t *testing.T) {
	broken := errors.New("no keys today")
	for _, mode := range []privacy.Mode{privacy.Hash, privacy.Tokenise, privacy.Encrypt} {
		for _, doc := range []any{secretMail, []byte(secretMail), map[string]any{"password": int64(1)}} {
			out, _, err := protector(t, mode).With(brokenKeys{err: broken}).Protect(doc)
			require.Nil(t, out)
			require.ErrorIs(t, err, broken)
			var failed *privacy.KeyError
			require.ErrorAs(t, err, &failed)
			require.Equal(t, mode, failed.Mode)
			_, _, err = protector(t, mode).With(nil).Protect(doc)
			require.ErrorIs(t, err, privacy.ErrNoKeys)
			_, _, err = protector(t, mode).With(brokenKeys{payload: []byte("short")}).Protect(doc)
			require.ErrorIs(t, err, privacy.ErrInvalidKey)
		}
		stored, _, err := protector(t, privacy.Tokenise).Protect(secretMail)
		require.NoError(t, err)
		for _, bad := range []brokenKeys{{err: broken}, {}, {payload: []byte("?x")}, {payload: []byte("i1")}, {payload: []byte("t1")}} {
			_, err = protector(t, mode).With(bad).Reveal(stored)
			require.ErrorIs(t, err, privacy.ErrReveal)
		}
	}
	keys, err := privacy.NewKeySet(make([]byte, privacy.KeySize), strings.NewReader("short"))
	require.NoError(t, err)
	_, _, err = protector(t, privacy.Encrypt).With(keys).Protect(secretMail)
	require.Error(t, err)
}

// Scan reports what is not protected, goes on after what is no document, and changes nothing.
func TestScan(t *testing.T) {
	p := protector(t, privacy.Redact)
	protected, _, err := p.Protect(secretMail)
	require.NoError(t, err)
	broken := errors.New("broken source")
	entries := func(yield func(privacy.Entry, error) bool) {
		_ = yield(privacy.Entry{Name: "clean", Value: "x"}, nil) &&
			yield(privacy.Entry{Name: "mail", Value: []any{secretMail}}, nil) &&
			yield(privacy.Entry{Name: "protected", Value: protected}, nil) &&
			yield(privacy.Entry{Name: "odd", Value: 1}, nil) &&
			yield(privacy.Entry{Name: "password", Value: map[string]any{"password": "x"}}, nil) &&
			yield(privacy.Entry{}, broken) &&
			yield(privacy.Entry{Name: "never", Value: secretMail}, nil)
	}
	names := map[string]int{}
	errs := map[string]error{}
	for report, err := range p.Scan(entries) {
		names[report.Name], errs[report.Name] = len(report.Findings), err
	}
	require.Equal(t, map[string]int{"mail": 1, "odd": 0, "password": 1, "": 0}, names)
	require.ErrorIs(t, errs[""], broken)
	require.ErrorContains(t, errs["odd"], "int")
	for report := range p.Scan(entries) {
		require.Equal(t, "mail", report.Name)
		break
	}
	blocked, err := protector(t, privacy.Block).Find(secretMail)
	require.NoError(t, err)
	require.Len(t, blocked, 1, "what is blocked is reported")
}

// FuzzDocument protects documents twice under random modes, and turns them back.
func FuzzDocument(f *testing.F) {
	f.Add("password", "mail "+secretMail, uint64(0), int64(1))
	f.Add("a", "[redacted:email] 4111111111111111 token=[hash:email:00]", uint64(1<<20), int64(2))
	for i, text := range assignments {
		f.Add(text, text, uint64(i)<<7, int64(i))
	}
	f.Fuzz(func(t *testing.T, name, text string, pick uint64, n int64) {
		modes := map[privacy.Detector]privacy.Mode{}
		for d := range privacy.Field + 1 {
			modes[d] = privacy.Mode(pick >> (d * 3) % uint64(privacy.Block))
		}
		p, err := privacy.New(&privacy.Policy{Modes: modes, Rules: []privacy.Rule{{Path: "**.x", Mode: modes[0]}}}, keySet(t))
		require.NoError(t, err)
		doc := map[string]any{name: []any{text, n, map[string]any{"x": text, text: []byte(name)}}, "t": text}
		kept := maps.Clone(doc)
		checkTwice(t, p, doc)
		require.Equal(t, kept, doc)
		stored, _, err := p.Protect(doc)
		require.NoError(t, err)
		// Marks in the text itself are forged.
		if back, err := p.Reveal(stored); err == nil && !strings.Contains(text+name, "[") && onlyReversible(modes) {
			require.Equal(t, doc, back)
		} else if err != nil {
			require.ErrorIs(t, err, privacy.ErrReveal)
			require.Contains(t, text+name, "[")
		}
	})
}

func onlyReversible(modes map[privacy.Detector]privacy.Mode) bool {
	for _, mode := range modes {
		if mode == privacy.Redact || mode == privacy.Hash {
			return false
		}
	}
	return true
}
