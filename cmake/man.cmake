# A manual page from its template: cmake -DIN= -DOUT= -DPROGRAM= -DVERSION= -P man.cmake
#
# @KEYS@ and @COMMANDS@ are what the program says itself, so that no list is kept twice.

execute_process(COMMAND ${PROGRAM} keys --roff OUTPUT_VARIABLE KEYS RESULT_VARIABLE failed)
if(NOT failed)
	execute_process(COMMAND ${PROGRAM} help --roff OUTPUT_VARIABLE COMMANDS RESULT_VARIABLE failed)
endif()
if(failed)
	message(FATAL_ERROR "${PROGRAM} does not tell its keys and commands: ${failed}")
endif()
configure_file(${IN} ${OUT} @ONLY)
