package main

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
)

// printHeader says on what and with what the figures were made.
func printHeader(w io.Writer, opts *options, dir string, notes []string) error {
	var b strings.Builder
	fmt.Fprintf(&b, "machine  %s, %d cores, %s memory, %s %s, %s\n", cpuModel(), runtime.NumCPU(), memorySize(), runtime.GOOS, kernelRelease(), fileSystem(dir))
	fmt.Fprintf(&b, "build    %s %s/%s, commit %s\n", runtime.Version(), runtime.GOOS, runtime.GOARCH, commit())
	fmt.Fprintf(&b, "flags    %s\n", opts.flags)
	for _, e := range opts.engines {
		fmt.Fprintf(&b, "%-8s %s\n", e.Name(), e.Settings(opts.config))
	}
	for _, note := range notes {
		fmt.Fprintf(&b, "data     %s\n", note)
	}
	_, err := io.WriteString(w, b.String()+"\n")
	return err
}

const unknown = "unknown"

func cpuModel() string { return procField("/proc/cpuinfo", "model name", runtime.GOARCH) }

func memorySize() string {
	kib, err := strconv.ParseInt(strings.TrimSuffix(procField("/proc/meminfo", "MemTotal", ""), " kB"), 10, 64)
	if err != nil {
		return unknown
	}
	return byteSize(kib << 10)
}

// procField returns the first value of a "name: value" line of a file, or otherwise.
func procField(file, name, otherwise string) string {
	data, err := os.ReadFile(file)
	if err != nil {
		return otherwise
	}
	for line := range strings.Lines(string(data)) {
		if k, v, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(k) == name {
			return strings.TrimSpace(v)
		}
	}
	return otherwise
}

func kernelRelease() string {
	data, err := os.ReadFile("/proc/sys/kernel/osrelease")
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(data))
}

// fileSystem names the type of file system that holds dir: that of the mount with the
// longest matching prefix.
func fileSystem(dir string) string {
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

// commit names the revision of the source: as stamped into the binary, or, under go
// run, which stamps none, as git gives it.
func commit() string {
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

// deviceWrites returns how many bytes this process has caused to be written to
// devices, pages dirtied through mappings included, or 0 where the system does not say.
// A page written twice before it reaches the device counts once; memory file systems
// count nothing.
func deviceWrites() int64 {
	n, err := strconv.ParseInt(procField("/proc/self/io", "write_bytes", ""), 10, 64)
	if err != nil {
		return 0
	}
	return n
}

// dirSize returns the bytes of all files under dir. A file that is removed meanwhile
// counts nothing.
func dirSize(dir string) (int64, error) {
	total := int64(0)
	err := filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err != nil {
			if os.IsNotExist(err) {
				return nil
			}
			return err
		}
		if d.Type().IsRegular() {
			if info, err := d.Info(); err == nil {
				total += info.Size()
			}
		}
		return nil
	})
	return total, err
}
