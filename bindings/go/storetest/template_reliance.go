package storetest

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	keystile "github.com/keystile/keystile/bindings/go"
)

var templateRelianceCases = map[string]func(*suite){
	"a batch may rely on a template":                     reliesOnTemplate,
	"no batch is written after its template was changed": noneAfterTemplate,
}

func (s *suite) templates() keystile.TemplateStore {
	s.Helper()
	templates, ok := s.store.(keystile.TemplateStore)
	if !ok {
		s.Skip("the store keeps no templates")
	}
	return templates
}

func reliesOnTemplate(s *suite) {
	templates := s.templates()
	first := keystile.NewStoredTemplate(rights("pro", "read"), 0, at(1))
	second := keystile.Must(first.Changed(rights("pro", "write"), 0, at(2)))
	other := plain(1)
	s.insert(other)
	batch := updates(next(other))
	batch.TemplateUnchanged = second.Unchanged()
	s.refused(s.store.Commit(ctx, batch), keystile.ErrTemplateChanged, "no such template")
	s.fine(templates.SaveTemplate(ctx, first), "a template")
	s.fine(templates.SaveTemplate(ctx, second), "its change")
	before := s.allEvents()
	of := func(name string, version uint64, added int64) *keystile.TemplateVersion {
		return &keystile.TemplateVersion{Name: name, Version: version, CreatedAt: at(added)}
	}
	for what, wrong := range map[string]*keystile.TemplateVersion{
		"an older version":                         first.Unchanged(),
		"a later version":                          of("pro", 3, 1),
		"one of another time that was added again": of("pro", 2, 3),
		"another template":                         of("plus", 2, 1),
	} {
		batch.TemplateUnchanged = wrong
		s.refused(s.store.Commit(ctx, batch), keystile.ErrTemplateChanged, what)
		s.sameEvents(s.allEvents(), before, what)
		s.is(s.find(other.ID).Version == 1, "%s: nothing is written", what)
		// It is the template that is named, even if the record is another one too.
		both := updates(next(next(other)))
		both.TemplateUnchanged = wrong
		s.refused(s.store.Commit(ctx, both), keystile.ErrTemplateChanged, what)
	}
	batch.TemplateUnchanged = of("pro", 0, 1)
	s.refused(s.store.Commit(ctx, batch), keystile.ErrOutOfRange, "a version of 0")
	batch.TemplateUnchanged = second.Unchanged()
	s.fine(s.store.Commit(ctx, batch), "a batch that relies on what is so")
	s.is(s.find(other.ID).Version == 2, "it is written")
	stored, err := templates.Template(ctx, "pro")
	s.fine(err, "the template")
	sameTemplate(s.T, stored, second)
	err = s.store.Commit(ctx, batch)
	s.is(errors.Is(err, keystile.ErrStale) && !errors.Is(err, keystile.ErrTemplateChanged), "only the record is stale: %v", err)
	s.fine(templates.RemoveTemplate(ctx, "pro", nil), "a removal")
	s.refused(s.store.Commit(ctx, batch), keystile.ErrTemplateChanged, "it was removed")
}

// noneAfterTemplate has writers that rely on a template, as many who apply it at once. After a change
// of it was made, none of them writes.
func noneAfterTemplate(s *suite) {
	templates := s.templates()
	template := keystile.NewStoredTemplate(rights("pro", "p0"), 0, at(0))
	s.fine(templates.SaveTemplate(ctx, template), "a template")
	s.insert(plain(1), plain(2), plain(3))
	for round := range int64(10) {
		var written, stopped atomic.Int64
		var isChanged atomic.Bool
		var writers sync.WaitGroup
		for number := range 3 {
			relied := template.Unchanged()
			writers.Add(1)
			go func() {
				defer writers.Done()
				defer stopped.Add(1)
				for {
					read, err := s.store.Find(ctx, keystile.Lookup{KeyID: id(number + 1)})
					if err != nil || read == nil {
						s.Errorf("no record: %v", err)
						return
					}
					batch := updates(next(read))
					batch.TemplateUnchanged = relied
					beginsLater := isChanged.Load()
					err = s.store.Commit(ctx, batch)
					switch {
					case errors.Is(err, keystile.ErrTemplateChanged):
						return
					case err != nil || beginsLater:
						s.Errorf("expected a changed template: %v", err)
						return
					}
					written.Add(1)
				}
			}()
		}
		for written.Load() < 3 && stopped.Load() == 0 {
			time.Sleep(time.Millisecond)
		}
		template = keystile.Must(template.Changed(rights("pro", fmt.Sprint("p", round+1)), 0, at(round)))
		s.fine(templates.SaveTemplate(ctx, template), "a change of the template")
		last, err := s.store.LastEvent(ctx)
		s.fine(err, "the last event")
		isChanged.Store(true)
		writers.Wait()
		now, err := s.store.LastEvent(ctx)
		s.fine(err, "the last event")
		s.is(now == last, "nothing is written after the template was changed: %d events more", now-last)
	}
}
