/* SPDX-License-Identifier: BSD-3-Clause */
/* In-doubt ranges against a bitmap: after any sequence of additions and
 * releases, with memory that fails now and then, no block of a write that may
 * still come is ever taken for free; and as long as memory lasts, no other
 * block is taken for occupied.
 *
 * Linked with -Wl,--wrap=malloc. */
#include <config.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "rules/indoubt.h"

/* ---- memory that fails ---------------------------------------------------- */

static bool failing;            /* every allocation fails while it is set */
static unsigned failed;

extern void *__real_malloc (size_t size);
extern void *__wrap_malloc (size_t size);

void *
__wrap_malloc (size_t size)
{
  if (failing) {
    failed++;
    return NULL;
  }
  return __real_malloc (size);
}

/* ---- random numbers, the same ones each time ------------------------------- */

static uint64_t state;

static uint32_t
rnd (uint32_t below)
{
  state = state * 6364136223846793005u + 1442695040888963407u;
  return (uint32_t) (state >> 33) % below;
}

/* ---- the model --------------------------------------------------------------- */

/* A small disk, as bits: block B of nexus N is in doubt because of write W. */
#define BLOCKS 48
#define NEXUSES 4
#define ORIGINS 8

static uint64_t bits[NEXUSES][ORIGINS];
static char nexus[NEXUSES];     /* only their addresses matter */

static uint64_t
mask (unsigned lba, unsigned n)
{
  uint64_t m = 0;

  for (unsigned i = lba; i < lba + n && i < BLOCKS; ++i)
    m |= UINT64_C (1) << i;
  return m;
}

/* Must a write of ORIGIN (0: a new one) to these blocks wait?  Origins of the
 * set are those of the model plus one. */
static bool
model_overlaps (uint64_t origin, uint64_t m)
{
  for (unsigned n = 0; n < NEXUSES; ++n)
    for (unsigned w = 0; w < ORIGINS; ++w)
      if (w + 1 != origin && (bits[n][w] & m) != 0)
        return true;
  return false;
}

static bool
model_has (unsigned n)
{
  for (unsigned w = 0; w < ORIGINS; ++w)
    if (bits[n][w] != 0)
      return true;
  return false;
}

static bool
has_range (const struct indoubt *set, const void *nexus)
{
  struct list *l, *next;

  list_for_each (l, next, &set->ranges)
    if (list_entry (l, struct indoubt_range, node)->nexus == nexus)
      return true;
  return false;
}

/* Ask for every range of every origin.  EXACT: nothing was widened. */
static void
compare (const struct indoubt *set, bool exact)
{
  unsigned length = 0;
  struct list *l, *next;

  list_for_each (l, next, &set->ranges)
    length++;
  assert_int_equal (set->count, length);

  for (unsigned n = 0; n < NEXUSES; ++n) {
    if (exact)
      assert_int_equal (has_range (set, &nexus[n]), model_has (n));
    else if (model_has (n))
      assert_true (has_range (set, &nexus[n]));
  }
  for (uint64_t origin = 0; origin <= ORIGINS; ++origin)
    for (unsigned lba = 0; lba < BLOCKS; ++lba)
      for (unsigned n = 1; n <= 3; ++n) {
        const bool want = model_overlaps (origin, mask (lba, n));
        const bool got = indoubt_overlaps (set, origin, lba, n);

        if (exact)
          assert_int_equal (got, want);
        else if (want)
          assert_true (got);
      }
}

/* ORIGINS writes, each with its own place, so that a write that is lost again
 * and again is the same each time. */
static unsigned write_lba[ORIGINS], write_blocks[ORIGINS];

static void
new_writes (void)
{
  for (unsigned w = 0; w < ORIGINS; ++w) {
    write_lba[w] = rnd (BLOCKS);
    write_blocks[w] = 1 + rnd (8);
    if (write_lba[w] + write_blocks[w] > BLOCKS)
      write_blocks[w] = BLOCKS - write_lba[w];
  }
}

/* FAIL: one allocation in so many fails; 0: none. */
static void
random_run (uint64_t seed, unsigned steps, unsigned fail)
{
  struct indoubt set;
  bool exact = true;

  state = seed;
  memset (bits, 0, sizeof bits);
  new_writes ();
  indoubt_init (&set);
  for (unsigned i = 0; i < steps; ++i) {
    const unsigned n = rnd (NEXUSES), w = rnd (ORIGINS);

    switch (rnd (8)) {
    case 0:
      indoubt_release (&set, &nexus[n]);
      memset (bits[n], 0, sizeof bits[n]);
      break;
    case 1:
      if (rnd (10) != 0)
        break;
      indoubt_clear (&set);
      memset (bits, 0, sizeof bits);
      exact = true;
      new_writes ();
      break;
    default: {
      const unsigned failed_before = failed;
      bool noted;

      failing = fail > 0 && rnd (fail) == 0;
      noted = indoubt_add (&set, &nexus[n], w + 1, write_lba[w],
                           write_blocks[w]);
      failing = false;
      if (failed != failed_before)
        exact = false;
      else
        assert_true (noted);    /* with memory it always succeeds */
      /* What was refused is not sent again, and needs no note. */
      if (noted)
        bits[n][w] |= mask (write_lba[w], write_blocks[w]);
      break;
    }
    }
    if (set.count == 0)
      exact = true;             /* what was widened is gone */
    compare (&set, exact);
  }
  indoubt_clear (&set);
  assert_int_equal (set.count, 0);
  assert_true (list_empty (&set.ranges));
}

static void
like_a_bitmap (void **unused)
{
  (void) unused;
  failed = 0;
  for (uint64_t seed = 1; seed <= 60; ++seed)
    random_run (seed, 200, 0);
  assert_int_equal (failed, 0);
}

static void
never_lost_without_memory (void **unused)
{
  (void) unused;
  failed = 0;
  for (uint64_t seed = 1; seed <= 60; ++seed)
    random_run (seed * 7919, 200, 1 + (unsigned) (seed % 5));
  assert_true (failed > 1000);
}

/* ---- by hand -------------------------------------------------------------------- */

static void
without_memory_all_is_in_doubt (void **unused)
{
  struct indoubt set;

  (void) unused;
  indoubt_init (&set);
  failing = true;
  /* Nothing to widen: the caller is told. */
  assert_false (indoubt_add (&set, &nexus[0], 1, 10, 1));
  assert_false (has_range (&set, &nexus[0]));
  failing = false;
  assert_true (indoubt_add (&set, &nexus[0], 1, 10, 1));
  assert_false (indoubt_overlaps (&set, 1, 10, 1));
  failing = true;
  /* Of another nexus: its range cannot stand for this one, whose fence comes
   * at another time. */
  assert_false (indoubt_add (&set, &nexus[1], 2, 20, 1));
  assert_false (indoubt_overlaps (&set, 0, 20, 1));
  /* The same again needs no memory. */
  assert_true (indoubt_add (&set, &nexus[0], 1, 10, 1));
  assert_false (indoubt_overlaps (&set, 0, 20, 1));
  assert_true (indoubt_add (&set, &nexus[0], 2, 20, 1));
  failing = false;
  /* The whole disk, and the write itself too. */
  assert_true (indoubt_overlaps (&set, 0, 0, 1));
  assert_true (indoubt_overlaps (&set, 0, UINT64_MAX - 1, 1));
  assert_true (indoubt_overlaps (&set, 1, 10, 1));
  assert_true (indoubt_overlaps (&set, 2, 20, 1));
  assert_int_equal (set.count, 1);
  indoubt_release (&set, &nexus[1]);
  assert_true (indoubt_overlaps (&set, 0, 0, 1));
  indoubt_release (&set, &nexus[0]);
  assert_false (indoubt_overlaps (&set, 0, 0, UINT64_MAX));
  assert_int_equal (set.count, 0);
}

/* What is lent needs no memory, and is not freed. */
static void
a_lent_range_is_the_whole_disk (void **unused)
{
  struct indoubt_range range[2];
  struct indoubt set;

  (void) unused;
  indoubt_init (&set);
  failing = true;
  indoubt_add_all (&set, &nexus[0], &range[0]);
  indoubt_add_all (&set, &nexus[1], &range[1]);
  /* One that is there is wide enough for all. */
  assert_true (indoubt_add (&set, &nexus[0], 1, 10, 1));
  failing = false;
  assert_int_equal (set.count, 2);
  assert_true (indoubt_overlaps (&set, 0, 0, 1));
  assert_true (indoubt_overlaps (&set, 1, UINT64_MAX - 1, 1));
  assert_true (indoubt_add (&set, &nexus[0], 1, 10, 1));
  indoubt_release (&set, &nexus[0]);
  assert_false (has_range (&set, &nexus[0]));
  assert_true (indoubt_overlaps (&set, 1, 10, 1));
  indoubt_clear (&set);
  assert_int_equal (set.count, 0);
  assert_false (indoubt_overlaps (&set, 0, 0, UINT64_MAX));
}

static void
edges (void **unused)
{
  struct indoubt set;

  (void) unused;
  indoubt_init (&set);
  assert_false (indoubt_overlaps (&set, 0, 0, UINT64_MAX));
  /* Nothing touches nothing. */
  assert_true (indoubt_add (&set, &nexus[0], 1, 100, 0));
  assert_int_equal (set.count, 0);

  assert_true (indoubt_add (&set, &nexus[0], 1, 100, 10));
  assert_false (indoubt_overlaps (&set, 0, 99, 1));
  assert_true (indoubt_overlaps (&set, 0, 99, 2));
  assert_true (indoubt_overlaps (&set, 0, 109, 1));
  assert_false (indoubt_overlaps (&set, 0, 110, 1));
  assert_false (indoubt_overlaps (&set, 0, 105, 0));
  assert_true (indoubt_overlaps (&set, 0, 0, UINT64_MAX));
  /* The write itself may go, any other may not. */
  assert_false (indoubt_overlaps (&set, 1, 100, 10));
  assert_true (indoubt_overlaps (&set, 2, 100, 10));
  /* Lost by a second nexus as well: both must be fenced. */
  assert_true (indoubt_add (&set, &nexus[1], 1, 100, 10));
  indoubt_release (&set, &nexus[0]);
  assert_true (indoubt_overlaps (&set, 0, 100, 1));
  indoubt_release (&set, &nexus[1]);
  assert_false (indoubt_overlaps (&set, 0, 100, 1));

  /* The end of the largest disk, and lengths that run over it. */
  assert_true (indoubt_add (&set, &nexus[0], 3, UINT64_MAX - 1, 1));
  assert_true (indoubt_overlaps (&set, 0, UINT64_MAX - 1, 1));
  assert_false (indoubt_overlaps (&set, 0, UINT64_MAX - 2, 1));
  indoubt_clear (&set);
  assert_true (indoubt_add (&set, &nexus[0], 3, UINT64_MAX - 10, 1000));
  assert_true (indoubt_overlaps (&set, 0, UINT64_MAX - 5, 1000));
  assert_false (indoubt_overlaps (&set, 0, 0, 1000));
  indoubt_clear (&set);
}

/* A write that is lost twice by one nexus is noted once: paths that come and
 * go do not use up memory. */
static void
noted_once (void **unused)
{
  struct indoubt set;

  (void) unused;
  indoubt_init (&set);
  for (int i = 0; i < 1000; ++i)
    assert_true (indoubt_add (&set, &nexus[0], 1, 100, 10));
  assert_int_equal (set.count, 1);
  assert_true (indoubt_add (&set, &nexus[0], 1, 100, 11));
  assert_true (indoubt_add (&set, &nexus[0], 2, 100, 10));
  assert_int_equal (set.count, 3);
  /* More at the front, or at the end, is not the same. */
  assert_true (indoubt_add (&set, &nexus[0], 1, 95, 15));
  assert_true (indoubt_overlaps (&set, 0, 95, 1));
  assert_true (indoubt_add (&set, &nexus[0], 1, 105, 10));
  assert_true (indoubt_overlaps (&set, 0, 114, 1));
  indoubt_clear (&set);
}

int
main (void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test (edges),
    cmocka_unit_test (noted_once),
    cmocka_unit_test (like_a_bitmap),
    cmocka_unit_test (without_memory_all_is_in_doubt),
    cmocka_unit_test (a_lent_range_is_the_whole_disk),
    cmocka_unit_test (never_lost_without_memory),
  };

  return cmocka_run_group_tests (tests, NULL, NULL);
}
