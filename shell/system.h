/* Linux's system calls for a program without a C library, on amd64 and arm64. */

typedef long word;
typedef unsigned long size;

#define AT_FDCWD (-100)
#define O_CREAT 0100
#define O_TRUNC 01000
#define O_APPEND 02000
#define EEXIST 17
#define EINTR 4
#define SIGINT 2
#define SIGTERM 15
#define SIGCHLD 17
#define WNOHANG 1

#if defined(__x86_64__)
enum {
  SYS_read = 0, SYS_write = 1, SYS_close = 3, SYS_sigmask = 14, SYS_getpid = 39, SYS_clone = 56, SYS_wait4 = 61,
  SYS_sigwait = 128, SYS_getdents64 = 217, SYS_exit = 231, SYS_openat = 257, SYS_mkdirat = 258, SYS_unlinkat = 263,
  SYS_renameat = 264, SYS_linkat = 265, SYS_symlinkat = 266, SYS_access = 269, SYS_dup3 = 292, SYS_pipe2 = 293,
  SYS_statx = 332
};
#define O_DIRECTORY 0200000

static word call(word number, word a, word b, word c, word d, word e) {
  word result;
  register word r10 __asm__("r10") = d;
  register word r8 __asm__("r8") = e;
  __asm__ volatile("syscall" : "=a"(result) : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8)
                   : "rcx", "r11", "memory");
  return result;
}

__asm__(".globl _start\n_start: xor %ebp,%ebp\n mov %rsp,%rdi\n and $-16,%rsp\n call start\n");

#elif defined(__aarch64__)
enum {
  SYS_dup3 = 24, SYS_mkdirat = 34, SYS_unlinkat = 35, SYS_symlinkat = 36, SYS_linkat = 37, SYS_renameat = 38,
  SYS_access = 48, SYS_openat = 56, SYS_close = 57, SYS_pipe2 = 59, SYS_getdents64 = 61, SYS_read = 63, SYS_write = 64,
  SYS_exit = 94, SYS_sigmask = 135, SYS_sigwait = 137, SYS_getpid = 172, SYS_clone = 220, SYS_wait4 = 260,
  SYS_statx = 291
};
#define O_DIRECTORY 040000

static word call(word number, word a, word b, word c, word d, word e) {
  register word x8 __asm__("x8") = number;
  register word x0 __asm__("x0") = a;
  register word x1 __asm__("x1") = b;
  register word x2 __asm__("x2") = c;
  register word x3 __asm__("x3") = d;
  register word x4 __asm__("x4") = e;
  __asm__ volatile("svc 0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4) : "memory");
  return x0;
}

__asm__(".globl _start\n_start: mov x29,xzr\n mov x0,sp\n bl start\n");
#else
#error "no such architecture"
#endif

#define call3(number, a, b, c) call(number, (word)(a), (word)(b), (word)(c), 0, 0)

/* What statx(2) tells; the same on every architecture. */
struct statx {
  unsigned mask, blksize;
  unsigned long attributes;
  unsigned nlink, uid, gid;
  unsigned short mode, spare;
  unsigned long ino, bytes, blocks, attributes_mask;
  unsigned char rest[256];
};

struct timespec { long seconds, nanoseconds; };

/* What getdents64(2) gives for each entry of a directory. */
struct entry {
  unsigned long ino, off;
  unsigned short length;
  unsigned char type;
  char name[];
};
