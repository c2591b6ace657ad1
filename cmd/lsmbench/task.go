package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime/pprof"
	"sync"
	"time"

	"github.com/loamdb/loam/cmd/lsmbench/internal/engine"
	"github.com/loamdb/loam/cmd/lsmbench/internal/realdata"
	"github.com/loamdb/loam/cmd/lsmbench/internal/result"
	"github.com/loamdb/loam/cmd/lsmbench/internal/workload"
)

// taskCommand is the command of a child process: it does one task, and writes replies, one
// JSON object a line, to its standard output. Each measurement has a process of its own, so that none inherits another's heap,
// caches or background work.
const taskCommand = "task"

// task is what a child is told: one of its fields is set.
type task struct {
	Run  *workload.Spec `json:"run,omitempty"`
	Load *realdata.Spec `json:"load,omitempty"`
	// Fill writes to be killed: its replies are counts, not JSON.
	Fill *realdata.Spec `json:"fill,omitempty"`
	// Profile is the file for the CPU profile of a Run.
	Profile string `json:"profile,omitempty"`
}

// reply is a line from a child: how far it is, or its end.
type reply struct {
	Ops         uint64       `json:"ops,omitempty"`
	Runs        []result.Run `json:"runs,omitempty"`
	Done        bool         `json:"done,omitempty"`
	Unsupported bool         `json:"unsupported,omitempty"`
	Error       string       `json:"error,omitempty"`
}

// runTask is the child: it does the task in the file. When its parent is gone, and with
// it the other end of the standard input, it ends.
func runTask(ctx context.Context, args []string, in io.Reader, out io.Writer) error {
	if len(args) != 1 {
		return usagef("task is for processes that lsmbench starts itself")
	}
	text, err := os.ReadFile(args[0])
	if err != nil {
		return err
	}
	var t task
	if err := json.Unmarshal(text, &t); err != nil {
		return fmt.Errorf("task: %w", err)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		_, _ = io.Copy(io.Discard, in)
		cancel()
	}()
	if t.Fill != nil {
		return realdata.Fill(ctx, *t.Fill, out)
	}
	var mu sync.Mutex
	send := func(r reply) error {
		mu.Lock()
		defer mu.Unlock()
		return json.NewEncoder(out).Encode(r)
	}
	runs, err := t.do(ctx, func(n uint64) { _ = send(reply{Ops: n}) })
	end := reply{Done: true, Runs: runs}
	if err != nil {
		end.Error, end.Unsupported = err.Error(), errors.Is(err, engine.ErrUnsupported)
	}
	return send(end)
}

func (t *task) do(ctx context.Context, report func(uint64)) ([]result.Run, error) {
	switch {
	case t.Run != nil:
		stop, err := startProfile(t.Profile)
		if err != nil {
			return nil, err
		}
		r, err := workload.Do(ctx, *t.Run, report)
		err = errors.Join(err, stop())
		if err != nil {
			return nil, err
		}
		return []result.Run{*r}, nil
	case t.Load != nil:
		return realdata.Load(ctx, *t.Load, report)
	}
	return nil, errors.New("an empty task")
}

// startProfile begins a CPU profile, which the function it returns ends; without a path it
// does nothing.
func startProfile(path string) (stop func() error, err error) {
	if path == "" {
		return func() error { return nil }, nil
	}
	f, err := os.Create(path)
	if err != nil {
		return nil, err
	}
	if err := pprof.StartCPUProfile(f); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return func() error {
		pprof.StopCPUProfile()
		return f.Close()
	}, nil
}

// childGrace is how long a child may take to end once it is asked to.
const childGrace = 10 * time.Second

// child makes the command of a process that does t. The task is in a file of its own in
// dir, since a list of files can be longer than an argument may be. The process lives
// no longer than this one, and is asked to end by closing its standard input.
func (t *task) child(ctx context.Context, dir string) (*exec.Cmd, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	text, err := json.Marshal(t)
	if err != nil {
		return nil, err
	}
	f, err := os.CreateTemp(dir, "task-*.json")
	if err != nil {
		return nil, err
	}
	_, err = f.Write(text)
	if err = errors.Join(err, f.Close()); err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, self, taskCommand, f.Name())
	cmd.WaitDelay = childGrace
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	cmd.Cancel = in.Close
	return cmd, nil
}

// inChild does the task in a process of its own. progress is told how many operations
// are done.
func (t *task) inChild(ctx context.Context, dir string, progress func(uint64)) ([]result.Run, error) {
	cmd, err := t.child(ctx, dir)
	if err != nil {
		return nil, err
	}
	var complaints bytes.Buffer
	cmd.Stderr = &complaints
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	end, readErr := readReplies(out, progress)
	waitErr := cmd.Wait()
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	switch {
	case end.Unsupported:
		return nil, engine.ErrUnsupported
	case end.Error != "":
		return nil, errors.New(end.Error)
	case end.Done:
		return end.Runs, nil
	}
	return nil, fmt.Errorf("the process ended without a result: %w\n%s", errors.Join(readErr, waitErr), beginning(complaints.Bytes()))
}

func readReplies(out io.Reader, progress func(uint64)) (end reply, err error) {
	dec := json.NewDecoder(bufio.NewReader(out))
	for {
		var r reply
		if err := dec.Decode(&r); err != nil {
			return end, err
		}
		if r.Done {
			return r, nil
		}
		progress(r.Ops)
	}
}

// beginning returns the first of what a process said, where a crash names its cause.
func beginning(p []byte) []byte {
	const most = 4 << 10
	return p[:min(len(p), most)]
}

// crashInChild does a task whose process ends without a reply, on purpose.
func (t *task) crashInChild(ctx context.Context, dir string) error {
	cmd, err := t.child(ctx, dir)
	if err != nil {
		return err
	}
	out, err := cmd.CombinedOutput()
	if err != nil {
		return fmt.Errorf("%w\n%s", err, beginning(out))
	}
	end, _ := readReplies(bytes.NewReader(out), func(uint64) {})
	if end.Error != "" {
		return errors.New(end.Error)
	}
	return nil
}
