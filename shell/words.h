/* From the words of a script to what they stand for. */

/* Beside each letter stands where it comes from: 'q' is kept as it is, 's' may be split, 'b' breaks the field here. */
struct expanded { struct text text, origin; int quoted; };

static void put(struct expanded *to, const char *from, char origin) {
  for (; *from; from++) add(&to->text, *from), add(&to->origin, origin);
}

static char *substitute(const char *from, size count) {
  int ends[2];
  struct text given = {0};
  if (call3(SYS_pipe2, ends, 0, 0) < 0) fail("cannot make a pipe", 0);
  word process = split_off();
  if (!process) {
    call3(SYS_dup3, ends[1], 1, 0);
    call3(SYS_close, ends[0], 0, 0);
    call3(SYS_close, ends[1], 0, 0);
    quit(run(parse(copy(from, count))));
  }
  call3(SYS_close, ends[1], 0, 0);
  char some[512];
  for (word got; (got = call3(SYS_read, ends[0], some, sizeof some)) > 0 || got == -EINTR;)
    for (word i = 0; i < got; i++) if (some[i]) add(&given, some[i]);
  call3(SYS_close, ends[0], 0, 0);
  substituted = wait_for(process);
  while (given.length && given.at[given.length - 1] == '\n') given.at[--given.length] = 0;
  return given.at ? given.at : "";
}

static void expand(struct expanded *to, const char *from, const char *end, int in_quotes);

static const char *value_of(const char *name, size count) {
  if (is_digit(*name)) {
    int which = *name - '0';
    return which < argument_count ? arguments[which] : 0;
  }
  if (*name == '$') return number(shell_process);
  if (*name == '?') return number(status);
  if (*name == '#') return number(argument_count - 1);
  if (*name == '!') return number(background);
  struct variable *one = find(name, count);
  return one ? one->value : 0;
}

static const char *dollar(struct expanded *to, const char *from, int in_quotes) {
  char origin = in_quotes ? 'q' : 's';
  int braces = *from == '{';
  if (*from == '(') {
    const char *end = past(from + 1, ')');
    put(to, substitute(from + 1, end - from - 2), origin);
    return end;
  }
  const char *name = from + braces;
  size count = name_length(name);
  if (!count && *name && is_in(*name, "$?#!0123456789")) count = 1;
  if (!count) {
    if (braces || *name == '@' || *name == '*') unsupported(from - 1);
    put(to, "$", 'q');
    return from;
  }
  const char *value = value_of(name, count), *end = name + count;
  if (braces) {
    end = past(from + 1, '}');
    const char *operator = name + count;
    int colon = *operator == ':';
    if (*operator != '}' && !is_in(operator[colon], "-+")) unsupported(from - 1);
    int is_set = value && !(colon && !*value);
    if (*operator != '}' && is_set == (operator[colon] == '+')) {
      expand(to, operator + colon + 1, end - 1, in_quotes);
      return end;
    }
    if (*operator != '}' && !is_set) return end;
  }
  if (!value && stop_on_unset) fail("is not set", copy(name, count));
  if (value) put(to, value, origin);
  return end;
}

static void expand(struct expanded *to, const char *from, const char *end, int in_quotes) {
  int quotes = in_quotes;
  while (from < end) {
    char letter[2] = {*from++, 0};
    if (*letter == '\'' && !quotes) {
      to->quoted = 1;
      const char *close = past(from, '\'') - 1;
      put(to, copy(from, close - from), 'q');
      from = close + 1;
    } else if (*letter == '"') {
      quotes = !quotes;
      if (!to->quoted) to->quoted = 1;
    } else if (*letter == '\\' && from < end && (!quotes || is_in(*from, "$`\"\\\n"))) {
      *letter = *from++;
      if (*letter != '\n') put(to, letter, 'q');
    } else if (*letter == '$') {
      from = dollar(to, from, quotes);
    } else {
      put(to, letter, 'q');
    }
  }
}

static char *value(const char *raw) {
  struct expanded one = {0};
  expand(&one, raw, raw + length(raw), 0);
  return one.text.at ? one.text.at : "";
}

static char **fields(struct word_list *words, int *count) {
  struct word_list *found = 0, **last = &found;
  *count = 0;
  for (; words; words = words->next) {
    struct expanded one = {0};
    expand(&one, words->raw, words->raw + length(words->raw), 0);
    struct text field = {0};
    int open = one.quoted > 0;
    for (size i = 0; i <= one.text.length; i++) {
      int last_letter = i == one.text.length;
      char origin = last_letter ? 'b' : one.origin.at[i];
      if (origin == 'b' || (origin == 's' && is_blank(one.text.at[i]))) {
        if (open || field.length) {
          *last = memory(sizeof **last);
          (*last)->raw = field.at ? field.at : "";
          last = &(*last)->next;
          ++*count;
        }
        field = (struct text){0};
        open = origin == 'b' && one.quoted > 0 && !last_letter;
      } else {
        add(&field, one.text.at[i]);
      }
    }
  }
  char **all = memory((*count + 1) * sizeof *all);
  for (int i = 0; found; found = found->next) all[i++] = found->raw;
  return all;
}
