// For building llama.cpp with GCC 12, whose AMX intrinsics do not say that they read memory: of a
// tile configuration only the first bytes are stored then, and ldtilecfg faults on the rest.
#pragma once
#if defined(__GNUC__) && !defined(__clang__) && defined(__AMX_TILE__)
#include <immintrin.h>
#undef _tile_loadd
#undef _tile_stored
#define _tile_loadconfig(config) __asm__ volatile("ldtilecfg (%0)" ::"r"(config) : "memory")
#define _tile_loadd(dst, base, stride) RETORT_TILE_LOADD(dst, base, stride)
#define RETORT_TILE_LOADD(dst, base, stride)                                     \
  __asm__ volatile("tileloadd (%0,%1,1), %%tmm" #dst ::"r"((const void*)(base)), \
                   "r"((long)(stride))                                           \
                   : "memory")
#define _tile_stored(src, base, stride) RETORT_TILE_STORED(src, base, stride)
#define RETORT_TILE_STORED(src, base, stride)                                                      \
  __asm__ volatile("tilestored %%tmm" #src ", (%0,%1,1)" ::"r"((void*)(base)), "r"((long)(stride)) \
                   : "memory")
#endif
