package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"os"
	"path"
	"path/filepath"
	"strings"
	"time"

	"github.com/klauspost/compress/zstd"
)

// An entry of an archive: a directory where the name ends with a slash, a link where it has a target.
type entry struct {
	name    string
	mode    int64
	content string
	target  string
}

const skillMD = "---\nname: web-research\ndescription: Searches the web.\n---\n# Web research\n"

// Longer than the 100 bytes of a header's name, and than the 155 and 100 of prefix and name.
var longName = "references/" + strings.Repeat("long-directory/", 8) + strings.Repeat("n", 160) + ".md"

// The skill that comes out in every way: as tests/unpack/formats.rs expects it.
var skill = []entry{
	{name: "SKILL.md", mode: 0o644, content: skillMD},
	{name: "references/", mode: 0o700},
	{name: "references/notes.md", mode: 0o600, content: "notes\n"},
	{name: longName, mode: 0o644, content: "long\n"},
	{name: "scripts/", mode: 0o755},
	{name: "scripts/run.sh", mode: 0o4755, content: "#!/bin/sh\necho run\n"},
}

// The entries below a directory, which is named first.
func below(directory string, entries []entry) []entry {
	moved := []entry{{name: directory + "/", mode: 0o755}}
	for _, entry := range entries {
		entry.name = path.Join(directory, entry.name) + strings.Repeat("/", len(entry.name)-len(strings.TrimSuffix(entry.name, "/")))
		moved = append(moved, entry)
	}
	return moved
}

// A tar archive, in the format given.
func archive(format tar.Format, entries []entry) ([]byte, error) {
	var packed bytes.Buffer
	writer := tar.NewWriter(&packed)
	for _, entry := range entries {
		header := &tar.Header{
			Name: entry.name, Mode: entry.mode, Size: int64(len(entry.content)), Format: format,
			ModTime: time.Unix(1_700_000_000, 0), Uid: 1000, Gid: 1000, Uname: "author", Gname: "author",
		}
		switch {
		case strings.HasSuffix(entry.name, "/"):
			header.Typeflag = tar.TypeDir
		case entry.target != "":
			header.Typeflag, header.Linkname = tar.TypeSymlink, entry.target
		default:
			header.Typeflag = tar.TypeReg
		}
		if err := writer.WriteHeader(header); err != nil {
			return nil, err
		}
		if _, err := writer.Write([]byte(entry.content)); err != nil {
			return nil, err
		}
	}
	err := writer.Close()
	return packed.Bytes(), err
}

func gzipped(content []byte) ([]byte, error) {
	var packed bytes.Buffer
	writer := gzip.NewWriter(&packed)
	if _, err := writer.Write(content); err != nil {
		return nil, err
	}
	err := writer.Close()
	return packed.Bytes(), err
}

func zstandard(content []byte) ([]byte, error) {
	writer, err := zstd.NewWriter(nil)
	if err != nil {
		return nil, err
	}
	return writer.EncodeAll(content, nil), nil
}

func plain(content []byte) ([]byte, error) { return content, nil }

// Writes the entries as files below a directory, for what is packed from files.
func write(directory string, entries []entry) error {
	for _, entry := range entries {
		at := filepath.Join(directory, entry.name)
		if strings.HasSuffix(entry.name, "/") {
			if err := os.MkdirAll(at, 0o755); err != nil {
				return err
			}
			continue
		}
		if err := os.MkdirAll(filepath.Dir(at), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(at, []byte(entry.content), 0o600); err != nil {
			return err
		}
		mode := os.FileMode(entry.mode & 0o777)
		if err := os.Chmod(at, mode); err != nil {
			return err
		}
	}
	return nil
}
