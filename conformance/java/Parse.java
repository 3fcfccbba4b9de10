import com.sun.source.util.JavacTask;
import java.util.List;
import javax.tools.DiagnosticCollector;
import javax.tools.JavaFileObject;
import javax.tools.ToolProvider;

/** Parse FILE: has javac read a program without the libraries that it uses, and tells what is wrong with it. */
public class Parse {
    public static void main(String[] args) throws Exception {
        var compiler = ToolProvider.getSystemJavaCompiler();
        var wrong = new DiagnosticCollector<JavaFileObject>();
        try (var files = compiler.getStandardFileManager(wrong, null, null)) {
            var task = (JavacTask) compiler.getTask(null, files, wrong, List.of(), null, files.getJavaFileObjects(args));
            task.parse();
        }
        wrong.getDiagnostics().forEach(System.err::println);
        System.exit(wrong.getDiagnostics().isEmpty() ? 0 : 1);
    }
}
