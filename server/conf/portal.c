/* SPDX-License-Identifier: BSD-3-Clause */
/* Portals ("10.0.0.1:3260,1") and iSCSI names, as people and targets write
 * them.  RFC 7143 4.2.7 (names), 6.3 (text of TargetAddress). */
#include <config.h>

#include <arpa/inet.h>
#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "conf/settings.h"

static bool
all_digits (const char *s, size_t len)
{
  for (size_t i = 0; i < len; ++i)
    if (!isdigit ((unsigned char) s[i]))
      return false;
  return len > 0;
}

/* A decimal number of at most 5 digits, <= 65535; -1 if it is none. */
static int
number16 (const char *s, size_t len)
{
  int n = 0;

  if (len > 5 || !all_digits (s, len))
    return -1;
  for (size_t i = 0; i < len; ++i)
    n = n * 10 + (s[i] - '0');
  return n <= 65535 ? n : -1;
}

/* IPv6 with an optional %zone (RFC 4007 11).  Rewritten in canonical form
 * (RFC 5952), so that one address has one text in every log line. */
static bool
ipv6_host (const char *s, size_t len, char *host, size_t size)
{
  const char *zone = memchr (s, '%', len);
  const size_t n = zone ? (size_t) (zone - s) : len;
  const size_t zone_len = len - n;      /* with the '%' */
  char text[INET6_ADDRSTRLEN];
  struct in6_addr in6;

  if (n == 0 || n >= sizeof text)
    return false;
  memcpy (text, s, n);
  text[n] = '\0';
  if (inet_pton (AF_INET6, text, &in6) != 1 ||
      inet_ntop (AF_INET6, &in6, text, sizeof text) == NULL)
    return false;
  if (zone) {
    /* An interface name or number: IFNAMSIZ is 16 with the NUL. */
    if (zone_len < 2 || zone_len > 16)
      return false;
    for (size_t i = 1; i < zone_len; ++i)
      if (!isalnum ((unsigned char) zone[i]) && !strchr ("-_.", zone[i]))
        return false;
  }
  snprintf (host, size, "%s%.*s", text, (int) zone_len, zone ? zone : "");
  return true;
}

/* A host name or an IPv4 address.  NULL if good. */
static const char *
name_wrong (const char *s, size_t len)
{
  bool dotted = true, label = false;

  if (len == 0)
    return "the host is missing";
  if (len > 253)
    return "the host name is longer than 253 characters";
  for (size_t i = 0; i < len; ++i) {
    const unsigned char c = (unsigned char) s[i];

    if (c == '.') {
      if (!label)
        return "the host name has an empty part";
      label = false;
    }
    else if (isalnum (c) || c == '_' || (c == '-' && label))
      label = true;
    else
      return "the host name has a character that is not allowed in one";
    if (c != '.' && !isdigit (c))
      dotted = false;
  }
  if (dotted) {
    char text[INET_ADDRSTRLEN];
    struct in_addr in;

    /* getaddrinfo would take "10.1" and "3260" for addresses: nobody means
     * those. */
    if (len >= sizeof text)
      return "not an IPv4 address";
    memcpy (text, s, len);
    text[len] = '\0';
    if (inet_pton (AF_INET, text, &in) != 1)
      return "not an IPv4 address";
  }
  return NULL;
}

bool
portal_parse (const char *str, size_t len, struct portal *portal,
              const char **why)
{
  const char *rest, *comma;
  size_t rest_len, host_len;

  memset (portal, 0, sizeof *portal);
  portal->port = ISCSI_PORT;
  portal->tpgt = -1;

  if (memchr (str, '\0', len)) {
    *why = "it contains a NUL byte";
    return false;
  }
  comma = memchr (str, ',', len);
  if (comma) {
    const size_t n = len - (size_t) (comma + 1 - str);

    portal->tpgt = number16 (comma + 1, n);
    if (portal->tpgt == -1) {
      *why = "the portal group tag after ',' must be a number up to 65535";
      return false;
    }
    len = (size_t) (comma - str);
  }
  if (len == 0) {
    *why = "it is empty";
    return false;
  }

  if (str[0] == '[') {
    const char *end = memchr (str, ']', len);

    if (end == NULL) {
      *why = "']' is missing";
      return false;
    }
    if (!ipv6_host (str + 1, (size_t) (end - str - 1),
                    portal->host, sizeof portal->host)) {
      *why = "not an IPv6 address between '[' and ']'";
      return false;
    }
    rest = end + 1;
  }
  else {
    const char *colon = memchr (str, ':', len);

    host_len = colon ? (size_t) (colon - str) : len;
    if (colon && memchr (colon + 1, ':', len - host_len - 1)) {
      *why = "an IPv6 address must be in brackets: [ADDRESS]:PORT";
      return false;
    }
    *why = name_wrong (str, host_len);
    if (*why)
      return false;
    memcpy (portal->host, str, host_len);
    portal->host[host_len] = '\0';
    rest = str + host_len;
  }

  rest_len = len - (size_t) (rest - str);
  if (rest_len > 0) {
    int port = -1;

    if (rest[0] != ':') {
      *why = "after ']' only :PORT may follow";
      return false;
    }
    port = number16 (rest + 1, rest_len - 1);
    if (port <= 0) {
      *why = "the port must be a number from 1 to 65535";
      return false;
    }
    portal->port = (uint16_t) port;
  }
  *why = NULL;
  return true;
}

const char *
portal_text (const struct portal *portal, char *buf, size_t size)
{
  if (strchr (portal->host, ':'))
    snprintf (buf, size, "[%s]:%u", portal->host, portal->port);
  else
    snprintf (buf, size, "%s:%u", portal->host, portal->port);
  return buf;
}

/* The portal group tag is not compared: the same address cannot be in two
 * groups of one target, and the tag is unknown until discovery told it. */
bool
portal_equal (const struct portal *a, const struct portal *b)
{
  return a->port == b->port && strcasecmp (a->host, b->host) == 0;
}

static bool
all_hex (const char *s)
{
  size_t n = 0;

  while (isxdigit ((unsigned char) s[n]))
    ++n;
  return s[n] == '\0';
}

bool
portal_needs_zone (const struct portal *portal)
{
  struct in6_addr in6;

  return inet_pton (AF_INET6, portal->host, &in6) == 1 &&
    IN6_IS_ADDR_LINKLOCAL (&in6);
}

bool
portal_take_zone (struct portal *portal, const char *from)
{
  const char *zone = strchr (from, '%');
  const size_t n = zone ? strcspn (zone, "]") : 0, len = strlen (portal->host);

  if (n == 0 || len + n >= sizeof portal->host)
    return false;
  memcpy (portal->host + len, zone, n);
  portal->host[len + n] = '\0';
  return true;
}

const char *
iscsi_name_wrong (const char *name)
{
  const size_t len = strlen (name);

  if (len == 0)
    return "the name is empty";
  if (len >= ISCSI_NAME_SIZE)
    return "longer than 223 bytes (RFC 7143 4.2.7.1)";
  for (size_t i = 0; i < len; ++i) {
    const unsigned char c = (unsigned char) name[i];

    if (c <= ' ' || c == 0x7f || strchr (",=\"", c))
      return "no blanks, control characters, ',', '=' or quotes are allowed";
  }
  return NULL;
}

/* Wider than RFC 3722: targets with '_' or upper case in their names are
 * common, and we must be able to name them just as they name themselves. */
const char *
iscsi_name_odd (const char *name)
{
  const size_t len = strlen (name);

  for (size_t i = 0; i < len; ++i) {
    const unsigned char c = (unsigned char) name[i];

    if (c < 0x80 && !isalnum (c) && !strchr ("-._:", c))
      return "only letters, digits, '-', '.', '_' and ':' are allowed";
  }

  if (strncasecmp (name, "iqn.", 4) == 0) {
    const char *date = name + 4;
    int month;

    if (len < 12 || !all_digits (date, 4) || date[4] != '-' ||
        !all_digits (date + 5, 2) || date[7] != '.')
      return "after 'iqn.' the form is YYYY-MM.DOMAIN[:TEXT]";
    month = number16 (date + 5, 2);
    if (month < 1 || month > 12)
      return "the month in iqn.YYYY-MM must be 01 to 12";
    if (!isalnum ((unsigned char) date[8]) && (unsigned char) date[8] < 0x80)
      return "after 'iqn.YYYY-MM.' a domain name must follow";
    return NULL;
  }
  if (strncasecmp (name, "eui.", 4) == 0)
    return len == 4 + 16 && all_hex (name + 4)
      ? NULL : "after 'eui.' exactly 16 hexadecimal digits must follow";
  if (strncasecmp (name, "naa.", 4) == 0)
    return (len == 4 + 16 || len == 4 + 32) && all_hex (name + 4)
      ? NULL : "after 'naa.' 16 or 32 hexadecimal digits must follow";
  return "it must begin with 'iqn.', 'eui.' or 'naa.'";
}
