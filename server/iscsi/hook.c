/* SPDX-License-Identifier: BSD-3-Clause */
/* A shared library calls what it imports through slots that the dynamic linker
 * has filled (System V ABI, "Global Offset Table"); its relocations say which
 * slot is whose.  They are read-only after start-up (RELRO), hence mprotect. */
#include <config.h>

#include <dlfcn.h>
#include <link.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "iscsi/hook.h"

#define MAX_HOOKS 8

static struct { void **slot; void *was; } slots[MAX_HOOKS];
static unsigned nr_slots;

static bool
set_slot (void **slot, void *value)
{
  const size_t page = sysconf (_SC_PAGESIZE);
  const uintptr_t start = (uintptr_t) slot & ~(page - 1);
  void *p = (void *) start;

  if (mprotect (p, page, PROT_READ | PROT_WRITE) == -1)
    return false;
  *slot = value;                /* stays writable: restore () needs it */
  return true;
}

struct object {
  ElfW(Addr) base;
  const ElfW(Sym) *symbols;
  const char *strings;
  const char *plt;              /* relocations of the slots */
  size_t plt_size, entry_size;
  const char *name;             /* its soname */
};

static void
parse_dynamic (const struct link_map *map, struct object *o)
{
  size_t soname = 0;

  memset (o, 0, sizeof *o);
  o->base = map->l_addr;
  for (const ElfW(Dyn) *d = map->l_ld; d->d_tag != DT_NULL; d++) {
    /* glibc has added the base already, where the segment is writable. */
    const char *p = (const char *)
      (d->d_un.d_ptr < map->l_addr ? d->d_un.d_ptr + map->l_addr
       : d->d_un.d_ptr);

    switch (d->d_tag) {
    case DT_SYMTAB: o->symbols = (const ElfW(Sym) *) p; break;
    case DT_STRTAB: o->strings = p; break;
    case DT_JMPREL: o->plt = p; break;
    case DT_PLTRELSZ: o->plt_size = d->d_un.d_val; break;
    case DT_PLTREL:
      o->entry_size = d->d_un.d_val == DT_RELA ? sizeof (ElfW(Rela))
        : sizeof (ElfW(Rel));
      break;
    case DT_SONAME: soname = d->d_un.d_val; break;
    }
  }
  o->name = o->strings && soname ? o->strings + soname : "";
}

static void **
find_slot (const struct object *o, const char *name)
{
  for (size_t at = 0; at + o->entry_size <= o->plt_size; at += o->entry_size) {
    /* The first two fields of both forms are alike. */
    const ElfW(Rel) *r = (const ElfW(Rel) *) (o->plt + at);
#if __ELF_NATIVE_CLASS == 64
    const size_t symbol = ELF64_R_SYM (r->r_info);
#else
    const size_t symbol = ELF32_R_SYM (r->r_info);
#endif

    if (strcmp (o->strings + o->symbols[symbol].st_name, name) == 0)
      return (void **) (o->base + r->r_offset);
  }
  return NULL;
}

/* The plugin is unloaded, and the library may stay for somebody else. */
static void
restore (unsigned down_to)
{
  while (nr_slots > down_to) {
    nr_slots--;
    *slots[nr_slots].slot = slots[nr_slots].was;
  }
}

__attribute__ ((destructor)) static void
restore_all (void)
{
  restore (0);
}

bool
hook_library (void *function, const char *soname, const struct hook *hooks)
{
  const unsigned before = nr_slots;
  struct link_map *map;
  struct object o;
  Dl_info info;
  unsigned n;

  if (dladdr1 (function, &info, (void **) &map, RTLD_DL_LINKMAP) == 0)
    return false;
  parse_dynamic (map, &o);
  if (strncmp (o.name, soname, strlen (soname)) != 0 || o.symbols == NULL ||
      o.plt == NULL || o.entry_size == 0)
    return false;
  for (n = 0; hooks[n].name != NULL; n++) {
    if (before + n == MAX_HOOKS)
      return false;
    slots[before + n].slot = find_slot (&o, hooks[n].name);
    if (slots[before + n].slot == NULL)
      return false;
    slots[before + n].was = *slots[before + n].slot;
  }
  for (; nr_slots < before + n; nr_slots++)
    if (!set_slot (slots[nr_slots].slot, hooks[nr_slots - before].function)) {
      restore (before);
      return false;
    }
  return true;
}
