// Package proc asks the system what it is and what this process has used: memory, time,
// bytes read and written. Where the system does not say, figures are 0.
package proc

import (
	"bufio"
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
)

const unknown = "unknown"

// CPU names the processor.
func CPU() string { return field(procText("/proc/cpuinfo"), "model name", runtime.GOARCH) }

// Memory returns the bytes of memory of the machine.
func Memory() int64 { return kibibytes(procText("/proc/meminfo"), "MemTotal") }

// procText returns what a file of the system says, nothing where there is none.
func procText(file string) string {
	data, err := os.ReadFile(file)
	if err != nil {
		return ""
	}
	return string(data)
}

// field returns the first value of a "name: value" line of a text, or otherwise.
func field(text, name, otherwise string) string {
	for line := range strings.Lines(text) {
		if k, v, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(k) == name {
			return strings.TrimSpace(v)
		}
	}
	return otherwise
}

// kibibytes returns a field that is written as "123 kB", in bytes.
func kibibytes(text, name string) int64 {
	n, err := strconv.ParseInt(strings.TrimSuffix(field(text, name, ""), " kB"), 10, 64)
	if err != nil {
		return 0
	}
	return n << 10
}

// Kernel names the system and its release.
func Kernel() string {
	data, err := os.ReadFile("/proc/sys/kernel/osrelease")
	if err != nil {
		return runtime.GOOS
	}
	return runtime.GOOS + " " + strings.TrimSpace(string(data))
}

// FileSystem names the type of file system that holds dir: that of the mount with the
// longest matching prefix.
func FileSystem(dir string) string {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return unknown
	}
	mounts, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		return unknown
	}
	best, kind := -1, unknown
	scanner := bufio.NewScanner(bytes.NewReader(mounts))
	for scanner.Scan() {
		f := strings.Fields(scanner.Text())
		if len(f) < 3 {
			continue
		}
		under := f[1] == "/" || dir == f[1] || strings.HasPrefix(dir, f[1]+"/")
		if under && len(f[1]) >= best {
			best, kind = len(f[1]), f[2]
		}
	}
	return kind
}

// Commit names the revision of the source: as stamped into the binary, or, under go
// run, which stamps none, as git gives it.
func Commit() string {
	if info, ok := debug.ReadBuildInfo(); ok {
		revision, modified := "", ""
		for _, s := range info.Settings {
			switch s.Key {
			case "vcs.revision":
				revision = s.Value[:min(len(s.Value), 12)]
			case "vcs.modified":
				if s.Value == "true" {
					modified = " modified"
				}
			}
		}
		if revision != "" {
			return revision + modified
		}
	}
	out, err := exec.Command("git", "describe", "--always", "--dirty= modified", "--abbrev=12").Output()
	if err != nil {
		return unknown
	}
	return strings.TrimSpace(string(out))
}
