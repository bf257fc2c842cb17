// Command tarlist lists tar archives as Go's archive/tar reads them.
//
// Standard input holds archives, each behind its length as four bytes, the highest first. For each, one line of JSON goes to
// standard output: the entries, and the error that reading ended with, if it did.
package main

import (
	"archive/tar"
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"log"
	"os"
)

type listing struct {
	Entries []entry `json:"entries"`
	Error   string  `json:"error,omitempty"`
}

type entry struct {
	// The bytes of names need not be UTF-8.
	Name   string `json:"name"`
	Link   string `json:"link"`
	Type   string `json:"type"`
	Size   int64  `json:"size"`
	Mode   int64  `json:"mode"`
	Sha256 string `json:"sha256"`
}

func main() {
	log.SetFlags(0)
	log.SetPrefix("tarlist: ")
	input, output := bufio.NewReader(os.Stdin), bufio.NewWriter(os.Stdout)
	for {
		var length uint32
		if err := binary.Read(input, binary.BigEndian, &length); errors.Is(err, io.EOF) {
			return
		} else if err != nil {
			log.Fatal(err)
		}
		archive := make([]byte, length)
		if _, err := io.ReadFull(input, archive); err != nil {
			log.Fatal(err)
		}
		if err := json.NewEncoder(output).Encode(list(archive)); err != nil {
			log.Fatal(err)
		}
		if err := output.Flush(); err != nil {
			log.Fatal(err)
		}
	}
}

func list(archive []byte) listing {
	found := listing{Entries: []entry{}}
	reader := tar.NewReader(bytes.NewReader(archive))
	for {
		header, err := reader.Next()
		if err == io.EOF {
			return found
		}
		if err != nil {
			found.Error = err.Error()
			return found
		}
		sum := sha256.New()
		if _, err := io.Copy(sum, reader); err != nil {
			found.Error = err.Error()
			return found
		}
		if header.Typeflag == tar.TypeXGlobalHeader {
			continue // It is shown as an entry, and is none.
		}
		found.Entries = append(found.Entries, entry{
			Name:   base64.StdEncoding.EncodeToString([]byte(header.Name)),
			Link:   base64.StdEncoding.EncodeToString([]byte(header.Linkname)),
			Type:   string(rune(header.Typeflag)),
			Size:   header.Size,
			Mode:   header.Mode,
			Sha256: hex.EncodeToString(sum.Sum(nil)),
		})
	}
}
