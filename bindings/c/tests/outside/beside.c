/* Two Rust static libraries in one program. */
#include <keystile.h>
#include <stdio.h>

int neighbour_answer(void);

int main(void) {
    keystile_format *format = NULL;
    keystile_status status = keystile_format_structured("NOT A PREFIX", 12, &format, NULL);
    int answer = neighbour_answer();
    printf("keystile says %s, its neighbour %d\n", keystile_status_name(status), answer);
    keystile_format_free(format);
    return status == KEYSTILE_ERROR_NAME && answer == 42 ? 0 : 1;
}
