package realdata

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// turn is what agents keep of one step of a conversation: an envelope of a dozen fields around
// a text.
type turn struct {
	ID           string    `json:"id"` // session, slash, number of the turn
	Session      string    `json:"session_id"`
	Parent       string    `json:"parent_id,omitempty"`
	Role         string    `json:"role"`
	Model        string    `json:"model,omitempty"`
	Created      time.Time `json:"created_at"`
	InputTokens  int       `json:"input_tokens"`
	OutputTokens int       `json:"output_tokens"`
	StopReason   string    `json:"stop_reason,omitempty"`
	Tool         *toolCall `json:"tool,omitempty"`
	Content      string    `json:"content"`
}

type toolCall struct {
	Name string `json:"name"`
	Path string `json:"path"`
	Line int    `json:"line"`
}

const (
	turnsPerSession = 24
	turnSessions    = 64 // that go on at a time
	maxTurnBytes    = 4 << 10
)

// Agents returns what agents keep: the files of Go's own source, each a record, many of which
// are long enough for a file of their own, and conversations about them, which are written into
// dir as JSON lines. It returns none where there is no Go tree. The envelopes of conversations are made up; the texts are comments and code of Go's own
// source, as questions, answers and what tools have read. Sessions go on beside each other, so
// that keys do not ascend.
func Agents(ctx context.Context, dir string) ([]Dataset, error) {
	goRoot, err := exec.CommandContext(ctx, "go", "env", "GOROOT").Output()
	if err != nil {
		return nil, nil // what else there is has to do
	}
	files := goSource(strings.TrimSpace(string(goRoot)))
	if len(files) == 0 {
		return nil, nil
	}
	path := filepath.Join(dir, "turns.jsonl")
	f, err := os.Create(path)
	if err != nil {
		return nil, err
	}
	w := turnWriter{out: bufio.NewWriter(f), now: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)}
	for _, file := range files {
		if err = w.file(file.Path); err != nil || ctx.Err() != nil {
			break
		}
	}
	if err = errors.Join(err, ctx.Err(), w.out.Flush(), f.Close()); err != nil {
		return nil, err
	}
	for i := range files {
		files[i].Format = "whole"
	}
	return []Dataset{{Name: "turns", Source: oneFile(path, "json")}, {Name: "files", Source: &Source{Files: files}}}, nil
}

// turnWriter writes turns, one session after the other taking the next.
type turnWriter struct {
	out *bufio.Writer
	n   int
	now time.Time
}

// file makes turns of a source file: a paragraph is a text, and what is longer than a turn is cut.
func (w *turnWriter) file(path string) error {
	source, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	name, line := filepath.Base(filepath.Dir(path))+"/"+filepath.Base(path), 1
	for _, text := range bytes.Split(source, []byte("\n\n")) {
		for len(text) > 0 {
			part := text[:min(len(text), maxTurnBytes)]
			if err := w.turn(name, line, string(part)); err != nil {
				return err
			}
			line += bytes.Count(part, []byte("\n"))
			text = text[len(part):]
		}
		line += 2
	}
	return nil
}

func (w *turnWriter) turn(name string, line int, text string) error {
	// Numbers in the order of turns, spread over sessions that go on beside each other.
	round, lane := w.n/turnSessions, w.n%turnSessions
	session := fmt.Sprintf("session-%05d", round/turnsPerSession*turnSessions+lane*37%turnSessions)
	at := round % turnsPerSession
	w.now = w.now.Add(time.Duration(17+len(text)%4001) * time.Millisecond)
	t := turn{
		ID: fmt.Sprintf("%s/%04d", session, at), Session: session, Created: w.now,
		InputTokens: 900 + 310*at + len(text)/4, OutputTokens: len(text) / 4, Content: text,
	}
	if at > 0 {
		t.Parent = fmt.Sprintf("%s/%04d", session, at-1)
	}
	switch at % 3 {
	case 0:
		t.Role, t.OutputTokens = "user", 0
	case 1:
		t.Role, t.Model, t.StopReason = "assistant", "assistant-large-1", "tool_use"
	case 2:
		t.Role, t.OutputTokens, t.Tool = "tool", 0, &toolCall{Name: "read_file", Path: name, Line: line}
	}
	w.n++
	p, err := json.Marshal(&t)
	if err != nil {
		return err
	}
	_, err = w.out.Write(append(p, '\n'))
	return err
}
