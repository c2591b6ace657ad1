// Package document makes the documents that stores of typed values are measured with: the
// state of a session or an agent, as a program keeps it. They are the same for the same seed.
//
// It must not know who stores them, nor how.
package document

import (
	"math/rand/v2"
	"reflect"
	"strings"

	"github.com/loamdb/loam/state/codec"
)

// Document is one of them as a Go type. Map has the same without a type.
type Document struct {
	ID     string   `json:"id" msgpack:"id"`
	Rev    int64    `json:"rev" msgpack:"rev"`
	Status string   `json:"status" msgpack:"status"`
	Model  string   `json:"model" msgpack:"model"`
	Score  float64  `json:"score" msgpack:"score"`
	Usage  Usage    `json:"usage" msgpack:"usage"`
	Tags   []string `json:"tags" msgpack:"tags"`
	Text   string   `json:"text" msgpack:"text"`
	Turns  []Turn   `json:"turns,omitempty" msgpack:"turns,omitempty"`
}

// Usage counts tokens.
type Usage struct {
	Prompt int64 `json:"prompt" msgpack:"prompt"`
	Reply  int64 `json:"reply" msgpack:"reply"`
}

// Turn is what somebody has said.
type Turn struct {
	Role   string `json:"role" msgpack:"role"`
	Text   string `json:"text" msgpack:"text"`
	Tokens int64  `json:"tokens" msgpack:"tokens"`
}

// turnText is how long what is said in a turn is, in bytes. A document has turns where it has
// room for several.
const turnText = 200

// leastForTurns is the length from which on a document has turns.
const leastForTurns = 3 * turnText

// New makes a document of about length bytes of MessagePack; the least is about 150.
func New(rng *rand.Rand, id string, length int) *Document {
	d := &Document{
		ID: id, Status: pick(rng, "active", "waiting", "suspended", "done"), Model: pick(rng, "small-2026-01", "large-2026-03"),
		Score: rng.Float64(), Usage: Usage{rng.Int64N(4000), rng.Int64N(1000)}, Tags: []string{pick(rng, words...), pick(rng, words...)},
	}
	for length >= leastForTurns && d.Len() < length-2*turnText {
		d.Turns = append(d.Turns, Turn{pick(rng, "user", "assistant", "tool"), text(rng, turnText), rng.Int64N(300)})
	}
	d.Text = text(rng, length-d.Len())
	return d
}

// Len is the length in MessagePack.
func (d *Document) Len() int {
	b, err := codec.Append(nil, d.Map(), nil)
	if err != nil {
		panic(err) // every document is a value
	}
	return len(b)
}

// Map returns the document as lists and maps, which share nothing with it.
func (d *Document) Map() map[string]any {
	m := map[string]any{
		"id": d.ID, "rev": d.Rev, "status": d.Status, "model": d.Model, "score": d.Score,
		"usage": map[string]any{"prompt": d.Usage.Prompt, "reply": d.Usage.Reply}, "text": d.Text,
	}
	tags := make([]any, len(d.Tags))
	for i, t := range d.Tags {
		tags[i] = t
	}
	m["tags"] = tags
	if len(d.Turns) > 0 {
		turns := make([]any, len(d.Turns))
		for i, t := range d.Turns {
			turns[i] = map[string]any{"role": t.Role, "text": t.Text, "tokens": t.Tokens}
		}
		m["turns"] = turns
	}
	return m
}

func pick(rng *rand.Rand, from ...string) string { return from[rng.IntN(len(from))] }

// text makes n bytes of words.
func text(rng *rand.Rand, n int) string {
	var b strings.Builder
	for b.Len() < n {
		b.WriteString(pick(rng, words...))
		b.WriteByte(' ')
	}
	return b.String()[:max(n, 0)]
}

var words = strings.Fields(`the report of three parts is to be written today and its second one says what was found when
	the tool looked into every file that somebody had changed since last week although nobody asked for it so the agent
	waits until a user answers whether invoices count as documents or belong elsewhere then goes on with summary tables
	graphs numbers prices names dates addresses orders customers regions products errors warnings retries plans steps`)

// Equal reports whether two values are the same, whichever type of number each has them in: formats
// differ in what they read a number back as.
func Equal(a, b any) bool {
	if x, ok := Number(a); ok {
		y, ok := Number(b)
		return ok && x == y
	}
	switch a := a.(type) {
	case map[string]any:
		b, ok := b.(map[string]any)
		if !ok || len(a) != len(b) {
			return false
		}
		for k, v := range a {
			if w, ok := b[k]; !ok || !Equal(v, w) {
				return false
			}
		}
		return true
	case []any:
		b, ok := b.([]any)
		if !ok || len(a) != len(b) {
			return false
		}
		for i := range a {
			if !Equal(a[i], b[i]) {
				return false
			}
		}
		return true
	}
	return a == b
}

// Number returns a number of any type.
func Number(v any) (float64, bool) {
	switch v := v.(type) {
	case int64:
		return float64(v), true
	case float64:
		return v, true
	}
	switch r := reflect.ValueOf(v); {
	case r.CanInt():
		return float64(r.Int()), true
	case r.CanUint():
		return float64(r.Uint()), true
	}
	return 0, false
}
