/* The shell of the default base image: as much of POSIX's sh as KServe and Kubeflow Pipelines run in a model's image.
 *
 * Its commands are built in, and there is nothing else in the image. What it does not know, such as functions and
 * pipes, it refuses before it runs anything. Called by the name of one of its commands, it is that command.
 */

#include "system.h"
#include "text.h"
#include "process.h"
#include "script.h"
#include "words.h"
#include "run.h"
#include "commands.h"

enum { NOT_FOUND = 127 };

static void begin(int count, char **words) __attribute__((noreturn));

static int known(char **words, int count) {
  if (!same(last_part(*words), "sh")) {
    word process = split_off();
    if (!process) begin(count, words);
    return wait_for(process);
  }
  for (const struct command *one = commands; one->name; one++) {
    if (same(one->name, last_part(*words))) continue;
    const char *before = me;
    me = one->name, mistaken = 0;
    int result = one->run(count, words);
    if (flush()) result = 1;
    me = before;
    return mistaken ? CANNOT : result;
  }
  complain(*words, "not found");
  return NOT_FOUND;
}

static char *read_all(int file) {
  struct text script = {0};
  char letter;
  word got;
  while ((got = call3(SYS_read, file, &letter, 1)) > 0 || got == -EINTR)
    if (got > 0 && letter) add(&script, letter);
  return script.at ? script.at : "";
}

static void begin(int count, char **words) {
  int i = 1, is_command = 0;
  for (; i < count && *words[i] == '-' && words[i][1]; i++)
    for (char *letter = words[i] + 1; *letter; letter++) {
      if (*letter == 'c') is_command = 1;
      else if (*letter == 'e') stop_on_error = 1;
      else if (*letter == 'u') stop_on_unset = 1;
      else if (*letter == 'x') trace = 1;
      else if (*letter != 'l') fail("unknown option", words[i]);
    }
  char *script;
  if (is_command) {
    if (i == count) fail("-c wants a command", 0);
    script = words[i++];
    argument_count = count - i, arguments = words + i;
    if (i == count) argument_count = 1, arguments = words;
  } else if (i < count) {
    word file = call(SYS_openat, AT_FDCWD, (word)words[i], 0, 0, 0);
    if (file < 0) fail("cannot open", words[i]);
    script = read_all(file);
    argument_count = count - i, arguments = words + i;
  } else {
    argument_count = 1, arguments = words;
    script = read_all(0);
  }
  quit(run(parse(script)));
}

void start(word *stack) {
  int count = *stack;
  char **words = (char **)(stack + 1), **pairs = words + count + 1;
  for (; *pairs; pairs++) {
    size name = name_length(*pairs);
    if (name && (*pairs)[name] == '=') assign(*pairs, name, *pairs + name + 1);
  }
  shell_process = call3(SYS_getpid, 0, 0, 0);
  if (shell_process == 1) { /* The first process of a container gets only the signals that it asks for. */
    blocked = 1UL << (SIGTERM - 1) | 1UL << (SIGINT - 1);
    mask(0, blocked);
  }
  if (!count) quit(NOT_FOUND);
  if (same(last_part(*words), "sh")) quit(known(words, count));
  begin(count, words);
}
