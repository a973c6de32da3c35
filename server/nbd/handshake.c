/* SPDX-License-Identifier: BSD-3-Clause */
/* The handshake: see handshake.h. */
#include <config.h>

#include <stdio.h>
#include <string.h>

#include "base/bytes.h"
#include "nbd/handshake.h"

/* The one context that there is, and its number in replies. */
#define BASE_ALLOCATION "base:allocation"
#define BASE_ALLOCATION_ID 1u

#define OPTION_HEADER 16

/* With so many bytes to be sent, the client has to read before it may ask for
 * more. */
#define HANDSHAKE_OUTPUT (256 * 1024)

/* An option's data, read from its front. */
struct data {
  const uint8_t *p;
  size_t left;
  bool bad;
};

static void
reply (struct nbd_buffer *out, uint32_t option, uint32_t type,
       const void *data, size_t n)
{
  nbd_buffer_put64 (out, NBD_REPLY_OPTION_MAGIC);
  nbd_buffer_put32 (out, option);
  nbd_buffer_put32 (out, type);
  nbd_buffer_put32 (out, n);
  nbd_buffer_put (out, data, n);
}

static void
refuse (struct nbd_buffer *out, uint32_t option, uint32_t type,
        const char *why)
{
  reply (out, option, type, why, strlen (why));
}

static uint32_t
take32 (struct data *d)
{
  if (d->left < 4) {
    d->bad = true;
    return 0;
  }
  d->p += 4;
  d->left -= 4;
  return get_be32 (d->p - 4);
}

static uint16_t
take16 (struct data *d)
{
  if (d->left < 2) {
    d->bad = true;
    return 0;
  }
  d->p += 2;
  d->left -= 2;
  return get_be16 (d->p - 2);
}

/* N bytes that are a string, into BUF of NBD_NAME_MAX + 1. */
static void
take_string (struct data *d, uint32_t n, char *buf)
{
  buf[0] = '\0';
  if (d->bad || n > d->left || n > NBD_NAME_MAX ||
      memchr (d->p, '\0', n) != NULL) {
    d->bad = true;
    return;
  }
  memcpy (buf, d->p, n);
  buf[n] = '\0';
  d->p += n;
  d->left -= n;
}

/* ---- exports --------------------------------------------------------------------- */

static bool
has_meta (const struct handshake *h)
{
  return h->meta && strcmp (h->meta_name, h->name) == 0;
}

uint16_t
handshake_flags (const struct handshake *h, const struct nbd_export *e)
{
  return e->flags | NBD_FLAG_HAS_FLAGS |
    (h->structured || h->extended ? NBD_FLAG_SEND_DF : 0) |
    (h->extended && has_meta (h) ? NBD_FLAG_BLOCK_STATUS_PAYLOAD : 0);
}

static void
begin_transmission (struct handshake *h, const struct nbd_export *e)
{
  h->export = *e;
  h->meta = has_meta (h) && e->extents;
  h->state = HANDSHAKE_TRANSMISSION;
}

/* There is no reply to it but success: else the connection ends. */
static void
answer_export_name (struct handshake *h, const struct nbd_export *e,
                    struct nbd_buffer *out)
{
  static const uint8_t zeroes[124];

  if (e == NULL) {
    h->state = HANDSHAKE_CLOSE;
    return;
  }
  nbd_buffer_put64 (out, e->size);
  nbd_buffer_put16 (out, handshake_flags (h, e));
  if (!h->no_zeroes)
    nbd_buffer_put (out, zeroes, sizeof zeroes);
  begin_transmission (h, e);
}

static void
put_text_info (struct nbd_buffer *out, uint32_t option, uint16_t info,
               const char *text)
{
  const size_t n = strlen (text);
  uint8_t data[2 + sizeof ((struct nbd_export *) NULL)->description];

  put_be16 (data, info);
  memcpy (data + 2, text, n);
  reply (out, option, NBD_REP_INFO, data, 2 + n);
}

static void
answer_go (struct handshake *h, const struct nbd_export *e, const char *why,
           struct nbd_buffer *out)
{
  uint8_t data[14];

  h->state = HANDSHAKE_OPTION;
  if (e == NULL) {
    refuse (out, h->option, NBD_REP_ERR_UNKNOWN, why);
    return;
  }
  /* Who did not ask for the block sizes does not promise to keep to them;
   * 512 is what all have kept to for ever. */
  if (e->strict && e->minimum > 512 && !h->want_sizes) {
    refuse (out, h->option, NBD_REP_ERR_BLOCK_SIZE_REQD,
            "requests must be multiples of the LUN's blocks");
    return;
  }
  put_be16 (data, NBD_INFO_EXPORT);
  put_be64 (data + 2, e->size);
  put_be16 (data + 10, handshake_flags (h, e));
  reply (out, h->option, NBD_REP_INFO, data, 12);
  if (h->want_name)
    put_text_info (out, h->option, NBD_INFO_NAME, e->name);
  if (h->want_description)
    put_text_info (out, h->option, NBD_INFO_DESCRIPTION, e->description);
  put_be16 (data, NBD_INFO_BLOCK_SIZE);
  put_be32 (data + 2, e->minimum);
  put_be32 (data + 6, e->preferred);
  put_be32 (data + 10, e->maximum);
  reply (out, h->option, NBD_REP_INFO, data, 14);
  reply (out, h->option, NBD_REP_ACK, NULL, 0);
  if (h->option == NBD_OPT_GO)
    begin_transmission (h, e);
}

void
handshake_opened (struct handshake *h, const struct nbd_export *e,
                  const char *why, struct nbd_buffer *out)
{
  if (h->option == NBD_OPT_EXPORT_NAME)
    answer_export_name (h, e, out);
  else
    answer_go (h, e, why, out);
}

/* h->name, for h->option. */
static void
open_export (struct handshake *h, struct nbd_buffer *out)
{
  struct nbd_export e;
  char err[1024] = "";
  const int r = h->ops->open (h->opaque, h->name, h->option != NBD_OPT_INFO,
                              &e, err, sizeof err);

  if (r == 1)
    h->state = HANDSHAKE_WAIT;
  else
    handshake_opened (h, r == 0 ? &e : NULL, err, out);
}

/* ---- options --------------------------------------------------------------------- */

static void
invalid (uint32_t option, struct nbd_buffer *out)
{
  refuse (out, option, NBD_REP_ERR_INVALID, "the option's data is not as it "
          "should be");
}

static void
do_export_name (struct handshake *h, struct data *d, struct nbd_buffer *out)
{
  take_string (d, d->left, h->name);
  if (d->bad || h->extended)
    h->state = HANDSHAKE_CLOSE;
  else
    open_export (h, out);
}

static void
do_go (struct handshake *h, struct data *d, struct nbd_buffer *out)
{
  unsigned n;

  take_string (d, take32 (d), h->name);
  n = take16 (d);
  h->want_name = h->want_description = h->want_sizes = false;
  for (unsigned i = 0; i < n && !d->bad; ++i)
    switch (take16 (d)) {
    case NBD_INFO_NAME: h->want_name = true; break;
    case NBD_INFO_DESCRIPTION: h->want_description = true; break;
    case NBD_INFO_BLOCK_SIZE: h->want_sizes = true; break;
    default: break;             /* not known: not answered */
    }
  if (d->bad || d->left > 0)
    invalid (h->option, out);
  else
    open_export (h, out);
}

static void
do_list (struct handshake *h, struct nbd_buffer *out)
{
  struct nbd_export e;

  for (unsigned i = 0; h->ops->list (h->opaque, i, &e); ++i) {
    uint8_t data[4 + sizeof e.name + sizeof e.description];
    const size_t n = strlen (e.name), more = strlen (e.description);

    put_be32 (data, n);
    memcpy (data + 4, e.name, n);
    memcpy (data + 4 + n, e.description, more);
    reply (out, NBD_OPT_LIST, NBD_REP_SERVER, data, 4 + n + more);
  }
  reply (out, NBD_OPT_LIST, NBD_REP_ACK, NULL, 0);
}

static void
do_starttls (struct handshake *h, struct nbd_buffer *out)
{
  if (h->tls == HANDSHAKE_TLS_OFF)
    refuse (out, NBD_OPT_STARTTLS, NBD_REP_ERR_POLICY,
            "this server has no TLS");
  else if (h->secure)
    refuse (out, NBD_OPT_STARTTLS, NBD_REP_ERR_INVALID, "TLS is on already");
  else {
    reply (out, NBD_OPT_STARTTLS, NBD_REP_ACK, NULL, 0);
    h->state = HANDSHAKE_TLS;
  }
}

static void
do_structured (struct handshake *h, struct nbd_buffer *out)
{
  if (h->extended) {
    refuse (out, NBD_OPT_STRUCTURED_REPLY, NBD_REP_ERR_EXT_HEADER_REQD,
            "extended headers are in use");
    return;
  }
  h->structured = true;
  reply (out, NBD_OPT_STRUCTURED_REPLY, NBD_REP_ACK, NULL, 0);
}

static void
do_meta (struct handshake *h, struct data *d, struct nbd_buffer *out)
{
  const bool set = h->option == NBD_OPT_SET_META_CONTEXT;
  char name[NBD_NAME_MAX + 1], query[NBD_NAME_MAX + 1];
  struct nbd_export e;
  bool chosen = false;
  uint32_t n;

  take_string (d, take32 (d), name);
  n = take32 (d);
  if (!set && n == 0)
    chosen = true;              /* all that there are */
  for (uint32_t i = 0; i < n && !d->bad; ++i) {
    take_string (d, take32 (d), query);
    if (strcmp (query, BASE_ALLOCATION) == 0 ||
        (!set && strcmp (query, "base:") == 0))
      chosen = true;
  }
  if (set)
    h->meta = false;            /* whatever comes of it */
  if (d->bad || d->left > 0 || (!h->structured && !h->extended)) {
    invalid (h->option, out);
    return;
  }
  if (!h->ops->look (h->opaque, name, &e)) {
    refuse (out, h->option, NBD_REP_ERR_UNKNOWN, "there is no such export");
    return;
  }
  if (chosen && e.extents) {
    uint8_t data[4 + sizeof BASE_ALLOCATION - 1];

    put_be32 (data, set ? BASE_ALLOCATION_ID : 0);
    memcpy (data + 4, BASE_ALLOCATION, sizeof BASE_ALLOCATION - 1);
    reply (out, h->option, NBD_REP_META_CONTEXT, data, sizeof data);
    if (set) {
      h->meta = true;
      strcpy (h->meta_name, name);
    }
  }
  reply (out, h->option, NBD_REP_ACK, NULL, 0);
}

/* Those that have no data. */
static bool
is_bare (uint32_t option)
{
  return option == NBD_OPT_LIST || option == NBD_OPT_STARTTLS ||
    option == NBD_OPT_STRUCTURED_REPLY || option == NBD_OPT_EXTENDED_HEADERS;
}

static void
do_option (struct handshake *h, const uint8_t *data, size_t n,
           struct nbd_buffer *out)
{
  struct data d = { data, n, false };

  if (h->tls == HANDSHAKE_TLS_REQUIRE && !h->secure &&
      h->option != NBD_OPT_STARTTLS && h->option != NBD_OPT_ABORT) {
    if (h->option == NBD_OPT_EXPORT_NAME)
      h->state = HANDSHAKE_CLOSE;
    else
      refuse (out, h->option, NBD_REP_ERR_TLS_REQD,
              "this server wants TLS first");
    return;
  }
  if (is_bare (h->option) && n > 0) {
    invalid (h->option, out);
    return;
  }
  switch (h->option) {
  case NBD_OPT_EXPORT_NAME: do_export_name (h, &d, out); break;
  case NBD_OPT_ABORT:
    reply (out, NBD_OPT_ABORT, NBD_REP_ACK, NULL, 0);
    h->state = HANDSHAKE_CLOSE;
    break;
  case NBD_OPT_LIST: do_list (h, out); break;
  case NBD_OPT_STARTTLS: do_starttls (h, out); break;
  case NBD_OPT_INFO: case NBD_OPT_GO: do_go (h, &d, out); break;
  case NBD_OPT_STRUCTURED_REPLY: do_structured (h, out); break;
  case NBD_OPT_LIST_META_CONTEXT: case NBD_OPT_SET_META_CONTEXT:
    do_meta (h, &d, out);
    break;
  case NBD_OPT_EXTENDED_HEADERS:
    h->extended = true;
    reply (out, NBD_OPT_EXTENDED_HEADERS, NBD_REP_ACK, NULL, 0);
    break;
  default:
    refuse (out, h->option, NBD_REP_ERR_UNSUP, "an option that is not known");
  }
}

/* ---- bytes ----------------------------------------------------------------------- */

void
handshake_start (struct handshake *h, const struct handshake_ops *ops,
                 void *opaque, enum handshake_tls tls, struct nbd_buffer *out)
{
  memset (h, 0, sizeof *h);
  h->ops = ops;
  h->opaque = opaque;
  h->tls = tls;
  nbd_buffer_put64 (out, NBD_MAGIC);
  nbd_buffer_put64 (out, NBD_OPTION_MAGIC);
  nbd_buffer_put16 (out, NBD_FIXED_NEWSTYLE | NBD_NO_ZEROES);
}

void
handshake_secured (struct handshake *h)
{
  h->secure = true;
  h->structured = h->extended = h->meta = false;
  h->state = HANDSHAKE_OPTION;
}

/* Of one step, the bytes it has used; 0: there are not enough, or it is not
 * its turn. */
static size_t
step (struct handshake *h, const uint8_t *in, size_t n,
      struct nbd_buffer *out)
{
  uint32_t flags, len;

  switch (h->state) {
  case HANDSHAKE_FLAGS:
    if (n < 4)
      return 0;
    flags = get_be32 (in);
    h->no_zeroes = flags & NBD_NO_ZEROES;
    h->state = flags & ~(NBD_FIXED_NEWSTYLE | NBD_NO_ZEROES)
      ? HANDSHAKE_CLOSE : HANDSHAKE_OPTION;
    return 4;
  case HANDSHAKE_OPTION:
    if (n < OPTION_HEADER)
      return 0;
    if (get_be64 (in) != NBD_OPTION_MAGIC) {
      h->state = HANDSHAKE_CLOSE;
      return n;
    }
    h->option = get_be32 (in + 8);
    len = get_be32 (in + 12);
    if (len > HANDSHAKE_INPUT - OPTION_HEADER) {
      if (h->option == NBD_OPT_EXPORT_NAME) {
        h->state = HANDSHAKE_CLOSE;
        return n;
      }
      refuse (out, h->option, NBD_REP_ERR_TOO_BIG, "too much data");
      h->skip = len;
      h->state = HANDSHAKE_SKIP;
      return OPTION_HEADER;
    }
    if (n < OPTION_HEADER + len)
      return 0;
    do_option (h, in + OPTION_HEADER, len, out);
    return OPTION_HEADER + len;
  case HANDSHAKE_SKIP:
    if (n > h->skip)
      n = h->skip;
    h->skip -= n;
    if (h->skip == 0)
      h->state = HANDSHAKE_OPTION;
    return n;
  default:
    return 0;
  }
}

size_t
handshake_input (struct handshake *h, const uint8_t *in, size_t n,
                 struct nbd_buffer *out)
{
  size_t used = 0, k;

  do {
    k = step (h, in + used, n - used, out);
    used += k;
  } while (k > 0 && out->len < HANDSHAKE_OUTPUT);
  return used;
}
