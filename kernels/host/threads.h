// Which threads of a kernel wait for each other.
#pragma once

enum class Threads { alone, of_a_block, of_the_grid };
