// Proxy writes a module as a file proxy has it: proxy MODULE-FOLDER PATH VERSION PROXY-FOLDER.
package main

import (
	"archive/zip"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

func main() {
	if len(os.Args) != 5 {
		fmt.Fprintln(os.Stderr, "usage: proxy MODULE-FOLDER PATH VERSION PROXY-FOLDER")
		os.Exit(2)
	}
	if err := write(os.Args[1], os.Args[2], os.Args[3], os.Args[4]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func write(module, path, version, proxy string) error {
	folder := filepath.Join(proxy, filepath.FromSlash(path), "@v")
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return err
	}
	file := func(suffix string) string { return filepath.Join(folder, version+suffix) }
	requirements, err := os.ReadFile(filepath.Join(module, "go.mod"))
	if err != nil {
		return err
	}
	info := fmt.Sprintf(`{"Version":%q,"Time":"2026-01-01T00:00:00Z"}`, version)
	list := filepath.Join(folder, "list")
	for name, text := range map[string]string{file(".mod"): string(requirements), file(".info"): info, list: version + "\n"} {
		if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
			return err
		}
	}
	archive, err := os.Create(file(".zip"))
	if err != nil {
		return err
	}
	files := zip.NewWriter(archive)
	err = filepath.WalkDir(module, func(at string, entry fs.DirEntry, err error) error {
		if err != nil || at == module {
			return err
		}
		if entry.IsDir() {
			// A folder with a go.mod is a module of its own.
			if _, err := os.Stat(filepath.Join(at, "go.mod")); err == nil {
				return filepath.SkipDir
			}
			return nil
		}
		name, err := filepath.Rel(module, at)
		if err != nil {
			return err
		}
		text, err := os.ReadFile(at)
		if err != nil {
			return err
		}
		// Stored, because a test soon unpacks it again.
		header := &zip.FileHeader{Name: path + "@" + version + "/" + filepath.ToSlash(name), Method: zip.Store}
		file, err := files.CreateHeader(header)
		if err != nil {
			return err
		}
		_, err = file.Write(text)
		return err
	})
	return errors.Join(err, files.Close(), archive.Close())
}
