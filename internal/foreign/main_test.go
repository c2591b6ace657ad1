package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// write makes a module of files.
func write(t *testing.T, files map[string]string) string {
	t.Helper()
	t.Setenv("GOWORK", "off")
	t.Setenv("GOFLAGS", "-mod=mod")
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "go.mod"), []byte("module m\n\ngo 1.26\n"), 0o600))
	for name, content := range files {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600))
	}
	return dir
}

// What does not fit is told of the system where it does not, in tests too.
func TestWhatDoesNotBuildElsewhereIsTold(t *testing.T) {
	if testing.Short() {
		t.Skip("it reads sources, which no build of the test changes")
	}
	good := map[string]string{
		"m.go": "package m\n\nimport \"os\"\n\nfunc F() string { return os.TempDir() + g() }\n", "g_linux.go": "package m\n\nfunc g() string { return \"\" }\n",
		"g_windows.go": "package m\n\nimport \"syscall\"\n\nfunc g() string { return syscall.Handle(0).string() }\n",
		"g_darwin.go":  "package m\n\nconst g40 int = 1 << 40\n\nfunc g() string { return string(make([]byte, g40)) }\n",
		"m_test.go":    "package m\n\nimport \"testing\"\n\nfunc TestF(t *testing.T) { F() }\n",
	}
	dir := write(t, good)
	n, err := check(dir, "linux/s390x", "./...")
	require.NoError(t, err)
	require.Equal(t, 2, n, "the package, and as its tests see it")
	_, err = check(dir, "windows/amd64", "./...")
	require.ErrorContains(t, err, "g_windows.go:5")
	_, err = check(dir, "darwin/arm64", "./...")
	require.NoError(t, err)

	good["x_windows_test.go"] = "package m_test\n\nimport (\n\t\"testing\"\n\n\t\"m\"\n)\n\nfunc TestX(t *testing.T) { m.G() }\n"
	good["g_windows.go"] = good["g_linux.go"]
	dir = write(t, good)
	_, err = check(dir, "windows/amd64", "./...")
	require.ErrorContains(t, err, "x_windows_test.go:9")
	good["g_linux.go"] = "package m\n\nconst g40 int = 1 << 40\n\nfunc g() string { return string(make([]byte, g40)) }\n"
	dir = write(t, good)
	_, err = check(dir, "linux/386", "./...")
	require.ErrorContains(t, err, "g_linux.go:3", "a word of 32 bits")

	for _, target := range []string{"linux", "linux/none", ""} {
		_, err = check(dir, target, "./...")
		require.Error(t, err, target)
	}
}
